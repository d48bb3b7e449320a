# What is installed, and the package. Every path is relative to the prefix, so that `cmake --install --prefix` may move all.
include(CMakePackageConfigHelpers)

# tare.pc finds its prefix from where it lies.
set(pc_folder ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
set(pc_prefix ${CMAKE_INSTALL_PREFIX})
if(NOT IS_ABSOLUTE ${pc_folder})
  file(RELATIVE_PATH up /${pc_folder} /)
  string(REGEX REPLACE "/$" "" up "${up}")
  set(pc_prefix "\${pcfiledir}/${up}")
endif()
# Not Requires.private: pkg-config would ask for those modules even when the shared library is used. Debian's static yajl has a
# name of its own.
list(JOIN TARE_DEPS_STATIC_LDFLAGS " " pc_private)
find_library(TARE_YAJL_STATIC NAMES libyajl_s.a PATHS ${TARE_DEPS_STATIC_LIBRARY_DIRS})
if(TARE_YAJL_STATIC)
  string(REGEX REPLACE "-lyajl( |$)" "-lyajl_s\\1" pc_private "${pc_private}")
endif()
configure_file(cmake/tare.pc.in tare.pc @ONLY)

# Programs that link the shared library need none of its dependencies; tare::static is there when they are.
install(TARGETS tare_shared EXPORT tareTargets)
install(TARGETS tare_static EXPORT tareStaticTargets)
set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/tare)
string(REPLACE ";" " " config_modules "${modules}")
configure_package_config_file(cmake/tareConfig.cmake.in tareConfig.cmake INSTALL_DESTINATION ${config_folder})
write_basic_package_version_file(tareConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(EXPORT tareTargets NAMESPACE tare:: DESTINATION ${config_folder})
install(EXPORT tareStaticTargets NAMESPACE tare:: DESTINATION ${config_folder})
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tareConfig.cmake ${CMAKE_CURRENT_BINARY_DIR}/tareConfigVersion.cmake DESTINATION ${config_folder})

if(TARE_COMMAND)
  install(TARGETS tare)
  include(cmake/documents.cmake)
endif()
install(DIRECTORY ${TARE_HEADERS}/ DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(FILES ${CMAKE_CURRENT_BINARY_DIR}/tare.pc DESTINATION ${pc_folder})
# The documents keep their places relative to one another, so that their links hold.
install(FILES README.md LICENSE CHANGELOG.md DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(DIRECTORY docs examples DESTINATION ${CMAKE_INSTALL_DOCDIR})

# ---- the Debian package (make deb) ----

set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "the tare project")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON) # the libraries, from what the files ask for
set(CPACK_DEBIAN_PACKAGE_GENERATE_SHLIBS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_PACKAGE_SUGGESTS "pkg-config, libjansson-dev, libyajl-dev, libpcre2-dev, libutf8proc-dev, libssl-dev")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "loads, checks, converts and runs quantized language models
 tare tells whether a pre-quantized checkpoint (AWQ, GPTQ, compressed-tensors, FP8,
 MLX, GGUF) is sound and what became of each tensor, converts it for other engines,
 and runs it on the processor. The library, its headers, the command and their
 documents. Linking libtare.a needs the suggested packages.")
set(CPACK_INSTALL_DEFAULT_DIRECTORY_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
include(CPack)
