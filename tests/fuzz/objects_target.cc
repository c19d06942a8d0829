#include <libdeflate.h>

#include <map>

#include "storage/formats/pickle_machine.h"
#include "storage/formats/pytorch_legacy.h"
#include "storage/formats/pytorch_reader.h"
#include "storage/formats/pytorch_storage.h"
#include "tests/formats/pytorch/legacy_testing.h"
#include "tests/formats/pytorch/pickle_testing.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

// The first byte of an input.
constexpr uint8_t kStream = 1;     // a stream in place of a zip
constexpr uint8_t kDeflated = 2;   // zip: compressed records
constexpr uint8_t kBigEndian = 4;  // zip: byteorder
constexpr uint8_t kScript = 8;     // zip: constants.pkl
constexpr uint8_t kManyBits = 16;  // storages of more than zeros and ones

constexpr uint64_t kStorageBytesMax = 8 << 10;

struct Storage {
  std::string bytes;
  uint64_t element_bytes = 1;
};
using Storages = std::map<std::string, Storage>;

std::string Content(uint64_t size_bytes, uint8_t options) {
  std::string out(size_bytes, '\0');
  for (size_t i = 0; i < out.size(); ++i) {
    out[i] = static_cast<char>((options & kManyBits) != 0 ? i * 37 + i / 256 : i % 3 & 1);
  }
  return out;
}

// Every storage that the pickle names, as large as it says.
Storages StoragesOf(const PickleGraph& graph, uint8_t options) {
  Storages out;
  for (PickleRef ref = 1; ref < graph.size(); ++ref) {
    if (!graph.Is(ref, PickleKind::kPersistent)) continue;
    const absl::StatusOr<PyTorchStorageId> id = ParseStorageId(graph, ref);
    if (!id.ok() || id->size_bytes > kStorageBytesMax) continue;
    out.insert({id->key, {Content(id->size_bytes, options), id->element_bytes}});
  }
  return out;
}

std::string Deflate(const std::string& data) {
  libdeflate_compressor* compressor = libdeflate_alloc_compressor(6);
  std::string out(libdeflate_deflate_compress_bound(compressor, data.size()), '\0');
  out.resize(
      libdeflate_deflate_compress(compressor, data.data(), data.size(), &out[0], out.size()));
  libdeflate_free_compressor(compressor);
  return out;
}

std::string ZipOf(absl::string_view pickle, const Storages& storages, uint8_t options) {
  std::vector<ZipPart> parts = {{"a/data.pkl", std::string(pickle)}};
  if ((options & kScript) != 0) parts.push_back({"a/constants.pkl", Pickled(")")});
  if ((options & kBigEndian) != 0) parts.push_back({"a/byteorder", "big"});
  for (const auto& [key, storage] : storages) parts.push_back({"a/data/" + key, storage.bytes});
  parts.push_back({"a/version", "3\n"});
  if ((options & kDeflated) != 0) {
    for (ZipPart& part : parts) {
      part.method = 8;
      part.stored = Deflate(part.data);
    }
  }
  return BuildZip(parts);
}

std::string StreamOf(absl::string_view pickle, const Storages& storages) {
  const LegacyParts parts;
  std::vector<std::string> keys;
  std::string data;
  for (const auto& [key, storage] : storages) {
    keys.push_back(Str(key));
    data += LegacyData(storage.bytes, storage.element_bytes);
  }
  return absl::StrCat(parts.magic, parts.version, parts.system, pickle, Pickled(ListOf(keys)),
                      data);
}

}  // namespace

void FuzzObjects(absl::string_view input) {
  Pieces pieces(input);
  const uint8_t options = pieces.Byte();
  absl::string_view pickle = pieces.Rest();
  const absl::StatusOr<PickleResult> result = RunPickle(pickle, SmallLimits());
  if (!result.ok()) return CheckRefusal(result.status());
  pickle = pickle.substr(0, result->size_bytes);
  const Storages storages = StoragesOf(result->graph, options);
  if ((options & kStream) != 0) {
    const StringSource source(StreamOf(pickle, storages));
    CheckAnswer(source, ReadPyTorchLegacy(source, SmallLimits()));
  } else {
    const StringSource source(ZipOf(pickle, storages, options));
    CheckAnswer(source, ReadPyTorch(source, SmallLimits()));
  }
}

}  // namespace ballast::fuzz
