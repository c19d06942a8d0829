#include "storage/store/rocksdb/engine.h"

#include <algorithm>
#include <cstdint>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/store/rocksdb/blobs.h"
#include "storage/store/rocksdb/data_folder.h"
#include "storage/store/rocksdb/database.h"
#include "storage/store/rocksdb/monitor.h"
#include "storage/store/rocksdb/records.h"
#include "storage/store/rocksdb/seal.h"

namespace ballast {
namespace {

// What a crash may cost a push: the file that is filled, the one before that becomes
// durable, and some MiB that wait before them: in memory, and in the windows of gRPC and TCP.
uint64_t FileBytes(uint64_t block_file_bytes) {
  constexpr uint64_t kWaitingBytes = 8u << 20;
  return (block_file_bytes - std::min(block_file_bytes / 2, kWaitingBytes)) / 2;
}

class Engine : public RocksEngine {
 public:
  ~Engine() override {
    monitor_.reset();
    records_.reset();
    blobs_.reset();
    index_.reset();
    // Without a seal the next open takes it for a crash.
    if (database_ != nullptr && database_->Close().ok()) WriteSeal(folder_->path()).IgnoreError();
  }
  BlobStore* blobs() override { return blobs_.get(); }
  RecordStore* records() override { return records_.get(); }
  StoreMonitor* monitor() override { return monitor_.get(); }

  absl::Status Init(const Options& options) {
    ASSIGN_OR_RETURN(folder_, DataFolder::Open(options.data_dir));
    RETURN_IF_ERROR(BreakSeal(folder_->path()));
    ASSIGN_OR_RETURN(database_, Database::Open(folder_->db_dir(), options.limits, folder_->is_new(),
                                               options.env));
    RETURN_IF_ERROR(folder_->MarkComplete());
    ASSIGN_OR_RETURN(index_, BlockIndex::Open(database_.get()));
    const StepHook step = options.step_hook ? options.step_hook : [](absl::string_view) {};
    const BlobContext context{database_.get(), index_.get(), folder_->tmp_dir(),
                              FileBytes(options.limits.block_file_bytes), step};
    RETURN_IF_ERROR(context.DropOrphans());
    blobs_ = std::make_unique<RocksBlobs>(context);
    records_ = std::make_unique<RocksRecords>(database_.get(), step);
    monitor_ = std::make_unique<RocksMonitor>(database_.get(), index_.get(), options.data_dir);
    return absl::OkStatus();
  }

 private:
  // In the order of use: what is declared later uses what is declared before.
  std::unique_ptr<DataFolder> folder_;
  std::unique_ptr<Database> database_;
  std::unique_ptr<BlockIndex> index_;
  std::unique_ptr<RocksBlobs> blobs_;
  std::unique_ptr<RocksRecords> records_;
  std::unique_ptr<RocksMonitor> monitor_;
};

absl::Status WithHint(const absl::Status& status) {
  if (!absl::IsDataLoss(status)) return status;
  return absl::DataLossError(
      absl::StrCat(status.message(),
                   "; the store is damaged: put a copy of the data folder back, or "
                   "restore a backup into a new one"));
}

}  // namespace

absl::StatusOr<std::unique_ptr<RocksEngine>> RocksEngine::Open(const Options& options) {
  auto engine = std::make_unique<Engine>();
  RETURN_IF_ERROR(WithHint(engine->Init(options)));
  return engine;
}

absl::Status RocksEngine::Check(const std::string& data_dir) { return DataFolder::Check(data_dir); }

}  // namespace ballast
