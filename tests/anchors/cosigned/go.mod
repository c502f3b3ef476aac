// Pins Go's transparency log packages, which check a Sealgate log without Sealgate. Not below v0.40.0: before it, tlog
// did not check every tile that it read (CVE-2026-56865).
module sealgate.dev/tests/cosigned

go 1.25.0

require golang.org/x/mod v0.40.0
