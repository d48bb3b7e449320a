# SPDX-License-Identifier: MIT
# tare in a container: docker build -t tare . && docker run --rm -v "$PWD:/models:ro" tare check /models/NAME
# The first stage builds the Debian package, the second one installs it: a small Debian with the package and the libraries that
# it asks for, and a user who is not root.
FROM debian:12-slim AS build
RUN apt-get update && apt-get install -y --no-install-recommends ninja-build dpkg-dev file \
    && rm -rf /var/lib/apt/lists/*
COPY . /source
WORKDIR /source
RUN tools/install.sh build && tools/deb.sh make /package

FROM debian:12-slim
RUN --mount=type=bind,from=build,source=/package,target=/package \
    apt-get update && apt-get install -y --no-install-recommends /package/*.deb && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 tare
USER tare
WORKDIR /home/tare
ENTRYPOINT ["tare"]
CMD ["--help"]
