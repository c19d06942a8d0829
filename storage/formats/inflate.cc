#include "storage/formats/inflate.h"

#include <zlib.h>

#include <algorithm>
#include <memory>
#include <string>
#include <utility>

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

}  // namespace

std::string StorageText(const SourceStorage& storage) {
  return absl::StrCat("record ", QuotedKey(storage.name));
}

absl::Status CheckStorageCrc(const SourceStorage& storage, uint32_t crc32) {
  if (!storage.crc32 || *storage.crc32 == crc32) return absl::OkStatus();
  return ChecksumError(StorageText(storage),
                       absl::StrFormat(": CRC-32 is %08x, want %08x", crc32, *storage.crc32));
}

// zlib's state for a raw deflate stream, and the input that it has not taken yet.
struct StorageStream::Inflater {
  Inflater() : ready(inflateInit2(&z, -15) == Z_OK), in(kInBytes, '\0') {}
  ~Inflater() {
    if (ready) inflateEnd(&z);
  }
  Inflater(const Inflater&) = delete;
  Inflater& operator=(const Inflater&) = delete;
  z_stream z{};
  const bool ready;
  bool ended = false;
  std::string in;
};

StorageStream::StorageStream(const ByteSource* source, SourceStorage storage)
    : source_(source), storage_(std::move(storage)) {
  if (storage_.encoding == SourceStorage::Encoding::kDeflate) {
    inflater_ = std::make_unique<Inflater>();
  }
}

StorageStream::~StorageStream() = default;

absl::StatusOr<size_t> StorageStream::Read(absl::Span<char> out) {
  RETURN_IF_ERROR(status_);
  absl::StatusOr<size_t> n = inflater_ == nullptr ? ReadRaw(out) : ReadDeflated(out);
  if (!n.ok()) {
    status_ = n.status();
  } else if (*n > 0) {
    made_ += *n;
    crc32_ = Crc32({out.data(), *n}, crc32_);
  } else {
    status_ = CheckStorageCrc(storage_, crc32_);
    RETURN_IF_ERROR(status_);
  }
  return n;
}

absl::StatusOr<size_t> StorageStream::ReadRaw(absl::Span<char> out) {
  out = out.subspan(0, std::min<uint64_t>(out.size(), storage_.size_bytes - made_));
  if (!out.empty()) RETURN_IF_ERROR(source_->ReadAt(storage_.offset_bytes + made_, out));
  return out.size();
}

absl::Status StorageStream::FillInput() {
  z_stream* const z = &inflater_->z;
  std::string& in = inflater_->in;
  const size_t n = std::min<uint64_t>(in.size(), storage_.stored_bytes - consumed_);
  if (z->avail_in > 0 || n == 0) return absl::OkStatus();
  RETURN_IF_ERROR(source_->ReadAt(storage_.offset_bytes + consumed_, absl::MakeSpan(&in[0], n)));
  consumed_ += n;
  z->next_in = reinterpret_cast<Bytef*>(&in[0]);
  z->avail_in = static_cast<uInt>(n);
  return absl::OkStatus();
}

// Never more than is stated; a byte too much is asked for only to see the end.
absl::StatusOr<size_t> StorageStream::ReadDeflated(absl::Span<char> out) {
  if (!inflater_->ready) return absl::ResourceExhaustedError("no memory for inflating");
  char beyond = 0;
  const uint64_t left = storage_.size_bytes - made_;
  if (left == 0) out = absl::MakeSpan(&beyond, 1);
  const size_t want = std::min<uint64_t>({out.size(), left == 0 ? 1 : left, kOutBytes});
  z_stream* const z = &inflater_->z;
  z->next_out = reinterpret_cast<Bytef*>(out.data());
  z->avail_out = static_cast<uInt>(want);
  while (!inflater_->ended && z->avail_out == want) {
    RETURN_IF_ERROR(FillInput());
    const int result = inflate(z, Z_NO_FLUSH);
    if (result == Z_BUF_ERROR) return Broken(storage_, "is cut off");
    if (result != Z_OK && result != Z_STREAM_END) return Broken(storage_, "is damaged");
    inflater_->ended = result == Z_STREAM_END;
  }
  const size_t made = want - z->avail_out;
  if (made == 0) RETURN_IF_ERROR(CheckDeflateEnd());
  if (made > 0 && left == 0) {
    return Broken(storage_, absl::StrCat("yields more than the ", storage_.size_bytes,
                                         " bytes that are stated"));
  }
  return made;
}

absl::Status StorageStream::CheckDeflateEnd() const {
  if (made_ != storage_.size_bytes) {
    return Broken(storage_, absl::StrCat("yields ", made_, " bytes, want ", storage_.size_bytes));
  }
  const uint64_t used = consumed_ - inflater_->z.avail_in;
  if (used == storage_.stored_bytes) return absl::OkStatus();
  return Broken(storage_,
                absl::StrCat("ends after ", used, " bytes, want ", storage_.stored_bytes));
}

absl::Status InflateTo(const ByteSource& source, const SourceStorage& storage, ByteSink* sink) {
  StorageStream stream(&source, storage);
  std::string piece(kOutBytes, '\0');
  while (true) {
    ASSIGN_OR_RETURN(const size_t n, stream.Read(absl::MakeSpan(piece)));
    if (n == 0) return absl::OkStatus();
    RETURN_IF_ERROR(sink->Write(absl::string_view(piece).substr(0, n)));
  }
}

absl::Status InflateInto(const ByteSource& source, const SourceStorage& storage,
                         absl::Span<char> out) {
  StorageStream stream(&source, storage);
  while (true) {
    ASSIGN_OR_RETURN(const size_t n, stream.Read(out));
    if (n == 0) return absl::OkStatus();
    out.remove_prefix(n);
  }
}

}  // namespace ballast
