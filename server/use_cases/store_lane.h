// A push's blocks on their way into the store, on a thread of their own: the next ones
// are received and hashed while these are written.
#ifndef BALLAST_SERVER_USE_CASES_STORE_LANE_H_
#define BALLAST_SERVER_USE_CASES_STORE_LANE_H_

#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "absl/status/status.h"
#include "storage/base/digest.h"
#include "storage/store/catalog.h"

namespace ballast {

// Used by one thread; its own thread is started when there is enough to do. At most three
// batches of kLaneBatchBytes (or one larger block each) are in memory.
class StoreLane {
 public:
  // `push` must outlive this, and is not to be used by others between Add and Drain,
  // but for durable_bytes().
  explicit StoreLane(CatalogPush* push) : push_(push) {}
  // Waits for the batch under way; what waits behind it is dropped.
  ~StoreLane();

  // Takes a block over; waits while the batch before the last is being written.
  // Errors: as CatalogPush::Add, of this block or one before it.
  absl::Status Add(const Digest& digest, uint32_t crc32, std::string bytes);
  // Returns when all blocks have been added. Errors: as CatalogPush::Add.
  absl::Status Drain();
  // Of the blocks that were added: those that the store took, and those that it had. To be
  // asked after Drain.
  uint64_t blocks_stored() const { return blocks_stored_; }
  uint64_t blocks_known() const { return blocks_known_; }

 private:
  struct Block {
    Digest digest;
    uint32_t crc32 = 0;
    std::string bytes;
  };
  using Batch = std::vector<Block>;

  absl::Status AddAll(const Batch& batch);
  absl::Status HandOver();
  void Run();

  CatalogPush* const push_;
  uint64_t blocks_stored_ = 0;  // these two are AddAll's alone
  uint64_t blocks_known_ = 0;
  Batch gathering_;
  uint64_t gathering_bytes_ = 0;

  std::mutex mutex_;
  std::condition_variable changed_;
  Batch waiting_;  // for the thread; empty: none
  bool writing_ = false;
  bool stop_ = false;
  absl::Status status_;  // the first failure
  std::thread thread_;
};

}  // namespace ballast

#endif  // BALLAST_SERVER_USE_CASES_STORE_LANE_H_
