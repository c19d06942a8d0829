#include "tests/bench/helpers/mapped_model.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "storage/base/file.h"
#include "storage/base/status.h"
#include "storage/formats/reader.h"

namespace ballast::bench {
namespace {

absl::StatusOr<char*> MapPrivately(const std::string& path, uint64_t size_bytes) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return ErrnoStatus(errno, path);
  void* const memory = mmap(nullptr, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
  const int error = errno;
  close(fd);
  if (memory == MAP_FAILED) return ErrnoStatus(error, path);
  madvise(memory, size_bytes, MADV_WILLNEED);
  return static_cast<char*>(memory);
}

}  // namespace

absl::StatusOr<std::unique_ptr<MappedModel>> MappedModel::Open(const std::string& path) {
  ASSIGN_OR_RETURN(const std::unique_ptr<ByteSource> file, OpenFile(path));
  ASSIGN_OR_RETURN(const SourceStateDict dict, ReadStateDict(*file, Format::kUnknown, Limits()));
  ASSIGN_OR_RETURN(char* const memory, MapPrivately(path, file->size_bytes()));
  std::unique_ptr<MappedModel> model(new MappedModel(memory, file->size_bytes()));
  for (const SourceEntry& entry : dict.entries) {
    const SourceStorage& storage = dict.storages[entry.storage];
    if (storage.encoding != SourceStorage::Encoding::kRaw || !entry.strides.empty()) {
      return absl::InvalidArgumentError("the file has tensors that are not contiguous");
    }
    const uint64_t size = CheckedTensorBytes(entry.spec);
    const char* const bytes = memory + storage.offset_bytes + entry.offset_bytes;
    model->tensors_.push_back(
        {entry.spec.key, entry.spec.dtype, entry.spec.shape, {bytes, size}, entry.spec.kind});
    model->bytes_ += size;
  }
  return model;
}

MappedModel::~MappedModel() { munmap(memory_, size_bytes_); }

void MappedModel::Stamp(uint64_t stamp) {
  for (const TensorView& tensor : tensors_) {
    char* const begin = memory_ + (tensor.bytes.data() - memory_);
    for (uint64_t at = 0; at < tensor.bytes.size(); at += kBlockBytes) {
      std::memcpy(begin + at, &stamp, std::min<uint64_t>(sizeof(stamp), tensor.bytes.size() - at));
    }
  }
}

}  // namespace ballast::bench
