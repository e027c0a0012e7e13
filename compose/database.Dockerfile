# MariaDB with Galera, and the agent that decides how it starts:
#
#   docker build -f compose/database.Dockerfile -t proofsheet/database .
#
# BASE is a Debian; what it has of MariaDB already (compose/base makes such a one) is not installed again.
ARG BASE=debian:bookworm-slim
ARG PROGRAMS=proofsheet/programs
FROM ${PROGRAMS} AS programs

FROM ${BASE}
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Proofsheet database" \
      org.opencontainers.image.licenses="MIT AND GPL-2.0-only" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.vendor="Proofsheet" \
      org.proofsheet.sbom="/sbom.txt, /var/lib/dpkg/status"
RUN if ! command -v wsrep_sst_mariabackup mariadb-backup socat >/dev/null; then \
        apt-get update \
        && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            ca-certificates galera-4 mariadb-backup mariadb-client mariadb-server socat util-linux \
        && rm -rf /var/lib/apt/lists/* /var/lib/mysql; \
    fi
# A number of our own, the same in every build: the files of a volume belong to it. A new volume takes over the
# folder's owner.
RUN groupadd --gid 65532 proofsheet \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin proofsheet \
    && install -d -o 65532 -g 65532 -m 700 /var/lib/proofsheet
COPY --from=programs /out/database-agent /
USER 65532:65532
WORKDIR /var/lib/proofsheet
VOLUME /var/lib/proofsheet
EXPOSE 3306 4444 4567 4568 4569
# It says that the agent is there to be asked: others find a node by its name only while this holds.
HEALTHCHECK --interval=3s --timeout=3s --start-period=20s --retries=4 CMD ["/service", "healthcheck"]
ENTRYPOINT ["/service"]
CMD ["run"]
