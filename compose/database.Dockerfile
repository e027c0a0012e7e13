# MariaDB with Galera, and the agent that decides how it starts:
#
#   docker build -f compose/database.Dockerfile -t proofsheet/database .
#
# BASE is a Debian; what it has of MariaDB already (compose/base makes such a one) is not installed again.
ARG BASE=debian:bookworm-slim
ARG PROGRAMS=proofsheet/programs
FROM ${PROGRAMS} AS programs

FROM ${BASE} AS debian
RUN if ! which wsrep_sst_mariabackup mariadb-backup socat >/dev/null; then \
        apt-get update \
        && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            ca-certificates galera-4 mariadb-backup mariadb-client mariadb-server socat util-linux; \
    fi
# A number of our own, the same in every build: the files of a volume belong to it. A new volume takes over the
# folder's owner.
RUN groupadd --gid 65532 proofsheet \
    && SOURCE_DATE_EPOCH=0 useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin proofsheet \
    && install -d -o 65532 -g 65532 -m 700 /var/lib/proofsheet
# Half of it is needed neither to run nor to look after a database: tools for other kinds of tables, Perl's library, other
# languages, documents, and a /media of root's, where backup has one of its own. And nothing in it may become root. With
# one date for all of it the same files make the same layer.
RUN cd /usr/bin \
    && keep=" mariadb mariadb-admin mariadb-backup mariadb-binlog mariadb-check mariadb-dump mariadb-install-db \
        mariadb-upgrade my_print_defaults perror resolveip " \
    && for tool in aria_* innochecksum innotop mariadb* msql2mysql my_print_defaults myisam* mysql* mytop perror replace resolve*; do \
        case "$keep" in *" $tool "*) ;; *) rm -f "$tool" ;; esac; \
    done \
    && find /usr/share/mysql -mindepth 1 -maxdepth 1 -type d ! -name charsets ! -name english -exec rm -rf {} + \
    && rm -rf /media /usr/bin/perl5* /usr/lib/*/libperl.so* /usr/lib/*/perl /usr/lib/*/perl5 /usr/share/perl /usr/share/perl5 \
        /usr/share/doc /usr/share/info /usr/share/locale /usr/share/man /usr/share/zoneinfo/right \
        /var/cache/* /var/lib/apt /var/lib/dpkg/info /var/lib/mysql /var/log/* \
    && find / -xdev -type f -perm /6000 -exec chmod a-s {} + \
    && find / -xdev \( -path /dev -o -path /etc/hosts -o -path /etc/resolv.conf -o -path /proc -o -path /sys \) -prune \
        -o -exec touch --no-dereference --date @0 {} +

# What was removed above is in no layer of this.
FROM scratch
ARG REVISION=unknown
LABEL org.opencontainers.image.title="Proofsheet database" \
      org.opencontainers.image.licenses="MIT AND GPL-2.0-only" \
      org.opencontainers.image.revision="${REVISION}" \
      org.opencontainers.image.vendor="Proofsheet" \
      org.proofsheet.sbom="/sbom.cdx.json, /var/lib/dpkg/status"
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
COPY --from=debian / /
COPY --from=programs /out/database-agent /
USER 65532:65532
WORKDIR /var/lib/proofsheet
VOLUME /var/lib/proofsheet
EXPOSE 3306 4444 4567 4568 4569
# It says that the agent is there to be asked: others find a node by its name only while this holds. A
# machine that is too busy to answer must not lose its database over that.
HEALTHCHECK --interval=3s --timeout=10s --start-period=20s --retries=20 CMD ["/service", "healthcheck"]
ENTRYPOINT ["/service"]
CMD ["run"]
