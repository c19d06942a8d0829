// Verification: reads what is stored and compares it with its digests, at a bounded rate,
// beside everything else.
//
//   1 files     what the engine keeps beside the blocks (StoreMonitor::CheckFiles)
//   2 records   every record makes sense; every manifest has the version's digest and agrees
//               with the store about the size and CRC-32 of each block
//   3 blocks    every block of a version, deleted version or schema, each once, has its SHA-256
//
// For 3 the digests are done in ranges if limits.gc_mark_bytes_max does not hold them all
// (mark_set.h). Damage is not an error: it is told, and goes on. A damaged block is remembered
// by the engine (blob_store.h), so that a push of the same content replaces it.
#ifndef BALLAST_STORAGE_STORE_VERIFIER_H_
#define BALLAST_STORAGE_STORE_VERIFIER_H_

#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "storage/base/digest.h"
#include "storage/base/limits.h"
#include "storage/store/blob_store.h"
#include "storage/store/catalog_facts.h"
#include "storage/store/pacer.h"
#include "storage/store/record_store.h"
#include "storage/store/store_monitor.h"

namespace ballast {

struct Damage {
  enum class Kind : uint8_t { kUnreadable, kWrongBytes, kMissing, kRecord };
  Kind kind = Kind::kRecord;
  std::optional<Digest> digest;  // of a block
  std::string problem;           // one line
  // What it hits: "model:3 (fc.weight)", "model:3 (manifest)", "model (schema)".
  std::vector<std::string> versions;
  uint64_t versions_omitted = 0;  // they would be more than limits.report_items_max or 1 MiB
};

struct VerifyProgressNow {
  uint64_t blocks = 0;
  uint64_t bytes = 0;
};

// What a verification looked at. A version is damaged if a block or its manifest is.
struct Verification {
  uint64_t versions = 0;
  uint64_t blocks = 0;
  uint64_t bytes = 0;
  uint64_t damaged_blocks = 0;
  uint64_t damaged_versions = 0;
  uint64_t damaged_records = 0;
  bool sound() const { return damaged_blocks + damaged_versions + damaged_records == 0; }
};

struct VerifyOptions {
  std::optional<VersionInfo> only;  // its blocks and its manifest; nullopt: everything
  uint64_t bytes_per_second = 0;    // 0: limits.verify_bytes_per_second
  // From the verifying thread; an error stops the verification. `progress` is called often.
  std::function<absl::Status(const VerifyProgressNow&)> progress;  // null: not
  std::function<absl::Status(const Damage&)> damage;
  Pacer::Clock clock;  // for tests
};

// Thread-safe.
class Verifier {
 public:
  // All must outlive the verifier.
  Verifier(BlobStore* blobs, RecordStore* records, StoreMonitor* monitor, const Limits& limits)
      : blobs_(blobs), records_(records), monitor_(monitor), limits_(limits) {}

  // Errors: Unavailable  another verification runs, or the store does not answer.
  //         NotFound  the one version is not live any more. What the functions say.
  absl::StatusOr<Verification> Verify(const VerifyOptions& options);

 private:
  BlobStore* const blobs_;       // Must outlive this.
  RecordStore* const records_;   // Must outlive this.
  StoreMonitor* const monitor_;  // Must outlive this.
  const Limits limits_;
  std::mutex running_;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_VERIFIER_H_
