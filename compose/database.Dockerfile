# MariaDB with Galera, and the agent that starts it:
#
#   docker build -f compose/database.Dockerfile -t proofsheet/database .
#
# BASE is a Debian. Packages that it contains (compose/base creates such an image) are not installed again.
ARG BASE=debian:bookworm-slim
ARG PROGRAMS=proofsheet/programs
FROM ${PROGRAMS} AS programs

FROM ${BASE} AS debian
RUN if ! which wsrep_sst_mariabackup mariadb-backup socat >/dev/null; then \
        apt-get update \
        && DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
            ca-certificates galera-4 mariadb-backup mariadb-client mariadb-server socat util-linux; \
    fi
# A fixed user id, because the files of volumes belong to it. A new volume gets the owner of the folder.
RUN groupadd --gid 65532 proofsheet \
    && SOURCE_DATE_EPOCH=0 useradd --uid 65532 --gid 65532 --no-create-home --home-dir /nonexistent --shell /usr/sbin/nologin proofsheet \
    && install -d -o 65532 -g 65532 -m 700 /var/lib/proofsheet
# Removes half of the files: storage engines, the library of Perl, translations and documentation, and /media, which
# backup has with another owner. Removes setuid bits. All files get one date, so that the same files give the same
# layer.
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

# A new stage, so that no layer contains the removed files.
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
# Reports that the agent is running: DNS resolves a node only while it is healthy. The timeout is long, so that a busy
# machine does not lose its database.
HEALTHCHECK --interval=3s --timeout=10s --start-period=20s --retries=20 CMD ["/service", "healthcheck"]
ENTRYPOINT ["/service"]
CMD ["run"]
