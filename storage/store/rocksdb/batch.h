// Blocks on their way into RocksDB.
#ifndef BALLAST_STORAGE_STORE_ROCKSDB_BATCH_H_
#define BALLAST_STORAGE_STORE_ROCKSDB_BATCH_H_

#include <memory>

#include "storage/store/blob_store.h"
#include "storage/store/rocksdb/block_files.h"

namespace ballast {

// What gathers to less than this by a flush goes through the log instead of into a
// block file of its own: a file costs several fsyncs.
inline constexpr uint64_t kSmallFlushBytes = 1u << 20;

// `context` must outlive the batch. A full block file is finished, ingested and
// indexed by a thread of the batch, while the caller gathers the next one.
std::unique_ptr<BlobBatch> NewRocksBatch(const BlobContext* context, Epoch epoch);

}  // namespace ballast

#endif  // BALLAST_STORAGE_STORE_ROCKSDB_BATCH_H_
