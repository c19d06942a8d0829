#include "storage/store/rocksdb/block_files.h"

#include <unistd.h>

#include "absl/strings/str_cat.h"
#include "rocksdb/convenience.h"
#include "storage/base/status.h"

namespace ballast {

absl::Status BlobContext::DropFile(uint64_t file) const {
  const std::string begin = ContainerPrefix(file);
  const std::string end = ContainerPrefix(file + 1);
  const rocksdb::Slice begin_slice(begin);
  const rocksdb::Slice end_slice(end);
  const rocksdb::Status status = database->Apply([&](const Database::Use& use) {
    return rocksdb::DeleteFilesInRange(use.get(), use.family(Family::kBlocks), &begin_slice,
                                       &end_slice, /*include_end=*/false);
  });
  return FromRocks(status, absl::StrCat("dropping block file ", file));
}

absl::Status BlobContext::DropOrphans() const {
  std::vector<rocksdb::LiveFileMetaData> files;
  database->use()->GetLiveFilesMetaData(&files);
  for (const rocksdb::LiveFileMetaData& file : files) {
    if (file.column_family_name != NameOf(Family::kBlocks)) continue;
    const uint64_t container = ContainerOfKey(file.smallestkey);
    if (!index->HasFile(container)) RETURN_IF_ERROR(DropFile(container));
  }
  return absl::OkStatus();
}

BlockFileWriter::BlockFileWriter(const BlobContext* context, uint64_t container)
    : context_(context),
      container_(container),
      path_(absl::StrCat(context->tmp_dir, "/", container, ".sst")),
      writer_(rocksdb::EnvOptions(context->database->block_file_options()),
              context->database->block_file_options(), /*column_family=*/nullptr,
              /*invalidate_page_cache=*/false) {}

absl::StatusOr<std::unique_ptr<BlockFileWriter>> BlockFileWriter::Create(
    const BlobContext* context) {
  ASSIGN_OR_RETURN(const uint64_t container, context->index->NewContainer());
  std::unique_ptr<BlockFileWriter> file(new BlockFileWriter(context, container));
  RETURN_IF_ERROR(FromRocks(file->writer_.Open(file->path_), "creating a block file"));
  return file;
}

BlockFileWriter::~BlockFileWriter() { unlink(path_.c_str()); }

absl::Status BlockFileWriter::Append(const Digest& digest, uint32_t crc32,
                                     absl::string_view bytes) {
  const auto sequence = static_cast<uint32_t>(blocks_.size());
  const std::string key = BlockKey(container_, sequence, digest);
  RETURN_IF_ERROR(FromRocks(writer_.Put(key, ToSlice(bytes)), "writing a block file"));
  blocks_.push_back({digest, sequence, static_cast<uint32_t>(bytes.size()), crc32});
  bytes_ += bytes.size();
  return absl::OkStatus();
}

absl::Status BlockFileWriter::FinishAndIngest() {
  RETURN_IF_ERROR(FromRocks(writer_.Finish(), "finishing a block file"));
  context_->step("block file finished");
  rocksdb::IngestExternalFileOptions options;
  options.move_files = true;
  options.snapshot_consistency = false;
  options.write_global_seqno = false;
  Database& database = *context_->database;
  const rocksdb::Status status = database.Apply([&](const Database::Use& use) {
    return use->IngestExternalFile(use.family(Family::kBlocks), {path_}, options);
  });
  RETURN_IF_ERROR(FromRocks(status, "ingesting a block file"));
  context_->step("block file ingested");
  return absl::OkStatus();
}

absl::Status RewriteFile(const BlobContext& context, uint64_t file) {
  ASSIGN_OR_RETURN(const auto copy, BlockFileWriter::Create(&context));
  absl::Status status;
  RETURN_IF_ERROR(context.database->ForEach(
      Family::kBlocks, ContainerPrefix(file), "",
      [&](absl::string_view key, absl::string_view value) {
        const auto digest = DigestOfKey(key);
        if (!digest.ok()) {
          status = digest.status();
          return false;
        }
        const auto known = context.index->Find(*digest);
        if (!known.ok()) {
          status = known.status();
          return false;
        }
        const bool alive = known->has_value() && (*known)->location.container == file &&
                           (*known)->location.where == BlockLocation::Where::kFile;
        if (alive) status = copy->Append(*digest, (*known)->info.crc32, value);
        return status.ok();
      }));
  RETURN_IF_ERROR(status);
  if (copy->blocks().empty()) return absl::OkStatus();  // died meanwhile; dropped by others
  RETURN_IF_ERROR(copy->FinishAndIngest());
  ASSIGN_OR_RETURN(const bool alive,
                   context.index->MoveFile(file, copy->container(), copy->blocks()));
  RETURN_IF_ERROR(context.database->Sync());
  context.step("block file rewritten");
  RETURN_IF_ERROR(context.DropFile(file));
  return alive ? absl::OkStatus() : context.DropFile(copy->container());
}

}  // namespace ballast
