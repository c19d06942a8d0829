#include <zlib.h>

#include <optional>

#include "storage/formats/inflate.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

// zlib's opinion: what the stream yields, if it is a sound one of exactly these sizes.
std::optional<std::string> ByZlib(absl::string_view stored, size_t size_bytes) {
  std::string out(size_bytes + 1, '\0');
  z_stream z{};
  Require(inflateInit2(&z, -15) == Z_OK, "zlib starts");
  z.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(stored.data()));
  z.avail_in = static_cast<uInt>(stored.size());
  z.next_out = reinterpret_cast<Bytef*>(&out[0]);
  z.avail_out = static_cast<uInt>(out.size());
  const int result = inflate(&z, Z_FINISH);
  const bool sound = result == Z_STREAM_END && z.avail_in == 0 && z.total_out == size_bytes;
  inflateEnd(&z);
  if (!sound) return std::nullopt;
  out.resize(size_bytes);
  return out;
}

void CheckSame(const absl::Status& status, const std::string& out,
               const std::optional<std::string>& want) {
  if (!status.ok()) CheckRefusal(status);
  Require(status.ok() == want.has_value(), "zlib agrees", status.ToString());
  if (want) Require(out == *want, "zlib yields the same");
}

}  // namespace

void FuzzInflate(absl::string_view input) {
  Pieces pieces(input);
  SourceStorage storage;
  storage.name = "data/0";
  storage.encoding = SourceStorage::Encoding::kDeflate;
  storage.size_bytes = pieces.Number(2);
  const StringSource source{std::string(pieces.Rest())};
  storage.stored_bytes = source.size_bytes();
  const std::string stored(input.substr(input.size() - storage.stored_bytes));
  const std::optional<std::string> want = ByZlib(stored, storage.size_bytes);

  std::string piecewise;
  StringSink sink(&piecewise);
  const absl::Status status = InflateTo(source, storage, &sink);
  Require(piecewise.size() <= storage.size_bytes, "never more than is stated");
  CheckSame(status, piecewise, want);

  std::string whole(storage.size_bytes, '\0');
  CheckSame(InflateInto(source, storage, absl::MakeSpan(&whole[0], whole.size())), whole, want);
}

}  // namespace ballast::fuzz
