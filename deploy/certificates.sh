#!/usr/bin/env bash
# Makes certificates for one Dask cluster that speaks TLS: an authority of its own, and one certificate with key for
# each of scheduler, worker and client. Whoever has one of them may run code on the cluster: keep the folder to
# yourself. Dask checks who signed a certificate and not which host it names, so one serves all workers.
# usage: deploy/certificates.sh FOLDER [DAYS]        needs openssl; keeps what is there
set -euo pipefail

folder=${1:?usage: deploy/certificates.sh FOLDER [DAYS]}
days=${2:-365}
command -v openssl >/dev/null || {
  echo "openssl is needed, and not installed." >&2
  exit 1
}
mkdir -p "$folder"
chmod 700 "$folder"
cd "$folder"
umask 077

if [[ ! -f ca.pem ]]; then
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -days "$days" \
    -subj "/CN=authority of one Dask cluster" -addext "basicConstraints=critical,CA:TRUE" \
    -keyout ca-key.pem -out ca.pem 2>/dev/null
fi
for role in scheduler worker client; do
  [[ -f $role.pem ]] && continue
  openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -sha256 -subj "/CN=$role" \
    -keyout "$role-key.pem" -out "$role.csr" 2>/dev/null
  # Each role is client to some and server to others.
  openssl x509 -req -in "$role.csr" -CA ca.pem -CAkey ca-key.pem -CAcreateserial -sha256 -days "$days" \
    -extfile <(echo "extendedKeyUsage=serverAuth,clientAuth") -out "$role.pem" 2>/dev/null
  rm "$role.csr"
done
echo "$PWD: ca.pem; scheduler, worker and client, each NAME.pem and NAME-key.pem; ca-key.pem signs more of them"
