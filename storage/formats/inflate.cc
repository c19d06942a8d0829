#include "storage/formats/inflate.h"

#include <libdeflate.h>
#include <zlib.h>

#include <algorithm>
#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "storage/base/crc32.h"
#include "storage/base/status.h"

namespace ballast {
namespace {

constexpr size_t kInBytes = 64 << 10;
constexpr size_t kOutBytes = 256 << 10;

absl::Status Broken(const SourceStorage& storage, absl::string_view why) {
  return MalformedError(StorageText(storage), ": deflate stream ", why);
}

// Owns zlib's state for a raw deflate stream.
class Inflater {
 public:
  Inflater() : ready_(inflateInit2(&z_, -15) == Z_OK) {}
  ~Inflater() {
    if (ready_) inflateEnd(&z_);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  bool ready() const { return ready_; }
  z_stream* stream() { return &z_; }

 private:
  z_stream z_{};
  const bool ready_;
};

// Takes the pieces that come out: counts, sums and passes them on.
class Checker {
 public:
  Checker(const SourceStorage* storage, ByteSink* sink) : storage_(storage), sink_(sink) {}
  absl::Status Take(absl::string_view piece) {
    if (piece.size() > storage_->size_bytes - made_) {
      return Broken(*storage_, absl::StrCat("yields more than the ", storage_->size_bytes,
                                            " bytes that are stated"));
    }
    made_ += piece.size();
    crc_ = Crc32(piece, crc_);
    return sink_->Write(piece);
  }
  absl::Status Finish(uint64_t consumed_bytes) const {
    if (made_ != storage_->size_bytes) {
      return Broken(*storage_,
                    absl::StrCat("yields ", made_, " bytes, want ", storage_->size_bytes));
    }
    if (consumed_bytes != storage_->stored_bytes) {
      return Broken(*storage_, absl::StrCat("ends after ", consumed_bytes, " bytes, want ",
                                            storage_->stored_bytes));
    }
    return CheckStorageCrc(*storage_, crc_);
  }

 private:
  const SourceStorage* storage_;  // Must outlive this.
  ByteSink* sink_;                // Must outlive this.
  uint64_t made_ = 0;
  uint32_t crc_ = 0;
};

}  // namespace

std::string StorageText(const SourceStorage& storage) {
  return absl::StrCat("record ", QuotedKey(storage.name));
}

absl::Status CheckStorageCrc(const SourceStorage& storage, uint32_t crc32) {
  if (!storage.crc32 || *storage.crc32 == crc32) return absl::OkStatus();
  return ChecksumError(StorageText(storage),
                       absl::StrFormat(": CRC-32 is %08x, want %08x", crc32, *storage.crc32));
}

absl::Status InflateTo(const ByteSource& source, const SourceStorage& storage, ByteSink* sink) {
  Inflater inflater;
  if (!inflater.ready()) return absl::ResourceExhaustedError("no memory for inflating");
  z_stream* const z = inflater.stream();
  Checker checker(&storage, sink);
  std::string in(kInBytes, '\0');
  std::string out(kOutBytes, '\0');
  uint64_t consumed = 0;
  int result = Z_OK;
  while (result != Z_STREAM_END) {
    const size_t n = std::min<uint64_t>(in.size(), storage.stored_bytes - consumed);
    if (n == 0) return Broken(storage, "is cut off");
    RETURN_IF_ERROR(source.ReadAt(storage.offset_bytes + consumed, absl::MakeSpan(&in[0], n)));
    z->next_in = reinterpret_cast<Bytef*>(&in[0]);
    z->avail_in = static_cast<uInt>(n);
    do {
      z->next_out = reinterpret_cast<Bytef*>(&out[0]);
      z->avail_out = static_cast<uInt>(out.size());
      result = inflate(z, Z_NO_FLUSH);
      if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) {
        return Broken(storage, "is damaged");
      }
      RETURN_IF_ERROR(checker.Take({out.data(), out.size() - z->avail_out}));
    } while (z->avail_out == 0 && result != Z_STREAM_END);
    consumed += n - z->avail_in;
  }
  return checker.Finish(consumed);
}

absl::Status InflateInto(const ByteSource& source, const SourceStorage& storage,
                         absl::Span<char> out) {
  std::string in(storage.stored_bytes, '\0');
  if (!in.empty()) {
    RETURN_IF_ERROR(source.ReadAt(storage.offset_bytes, absl::MakeSpan(&in[0], in.size())));
  }
  const std::unique_ptr<libdeflate_decompressor, decltype(&libdeflate_free_decompressor)>
      decompressor(libdeflate_alloc_decompressor(), &libdeflate_free_decompressor);
  if (decompressor == nullptr) return absl::ResourceExhaustedError("no memory for inflating");
  size_t consumed = 0;
  size_t made = 0;
  const libdeflate_result result = libdeflate_deflate_decompress_ex(
      decompressor.get(), in.data(), in.size(), out.data(), out.size(), &consumed, &made);
  if (result == LIBDEFLATE_INSUFFICIENT_SPACE) {
    return Broken(storage, absl::StrCat("yields more than the ", storage.size_bytes,
                                        " bytes that are stated"));
  }
  if (result != LIBDEFLATE_SUCCESS) return Broken(storage, "is damaged or cut off");
  if (made != out.size()) {
    return Broken(storage, absl::StrCat("yields ", made, " bytes, want ", storage.size_bytes));
  }
  if (consumed != in.size()) {
    return Broken(storage,
                  absl::StrCat("ends after ", consumed, " bytes, want ", storage.stored_bytes));
  }
  return CheckStorageCrc(storage, Crc32({out.data(), out.size()}));
}

}  // namespace ballast
