// Small files of every kind, cut at every length and changed in every byte: refused with
// a reason, or read to a description that holds together.
#include <string>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "gtest/gtest.h"
#include "storage/base/checked.h"
#include "tests/formats/formats_testing.h"
#include "tests/formats/pytorch/legacy_testing.h"
#include "tests/formats/pytorch/pickle_testing.h"
#include "tests/formats/pytorch/zip_testing.h"

namespace ballast {
namespace {

struct Sample {
  std::string name;
  Format format;
  std::string file;
  bool summed;  // checksums cover all that tensors consist of
};

std::string ScriptFile() {
  const std::string root = Glob("__torch__", "Net") + ")\x81" + DictOf({Str("w"), Floats()}) + "b";
  return TorchZip(Pickled(root), {.more = {{"code/__torch__.py", "class Net: pass"},
                                           {"constants.pkl", Pickled(")")}}});
}

std::string ZipFile(bool deflated) {
  std::vector<ZipPart> parts = {
      {.name = "a/data.pkl", .data = Pickled(DictOf({Str("w"), Floats(), Str("n"), Num(7)}))},
      {.name = "a/byteorder", .data = "little"},
      {.name = "a/data/0", .data = std::string(16, 'x')},
      {.name = "a/version", .data = "3\n"}};
  for (ZipPart& part : parts) {
    part.flags = 0x0808;
    if (!deflated) continue;
    part.method = 8;
    part.stored = Deflate(part.data);
  }
  return BuildZip(parts, {.zip64 = true});
}

// SGD of one group with two states, one of them without momentum.
std::string OptimizerFile() {
  return Hex("03") + "SGD" + Hex("01 02") + std::string(40, '\0') + Hex("0100") +
         Hex("01 0600 0000803f") + Hex("00");
}

std::vector<Tensor> Tensors() {
  return {MakeTensor("a.b", DType::kFloat16, {2, 3}), MakeTensor("c", DType::kBool, {2}),
          MakeTensor("größe", DType::kInt64, {})};
}

std::vector<Sample> Samples() {
  return {
      {"zip", Format::kPyTorch, ZipFile(false), true},
      {"deflated zip", Format::kPyTorch, ZipFile(true), true},
      {"TorchScript", Format::kTorchScript, ScriptFile(), true},
      {"stream", Format::kPyTorchLegacy, LegacyParts().File(), false},
      {"tar", Format::kPyTorchTar, TarParts().File(), false},
      {"safetensors", Format::kSafetensors, *WriteAll(Format::kSafetensors, Tensors()), false},
      {"module", Format::kTorchSharp, *WriteAll(Format::kTorchSharp, Tensors()), false},
      {"single tensor", Format::kTorchSharpTensor, Hex("06 02 0102 0000803f 000000c0"), false},
      {"optimizer", Format::kTorchSharpOptimizer, OptimizerFile(), false},
  };
}

Limits SmallLimits() {
  Limits limits;
  limits.tensor_bytes_max = 1 << 20;
  limits.materialized_bytes_max = 1 << 20;
  return limits;
}

// Offset of the last byte of an entry in its storage, plus one; false on overflow.
bool EndOf(const SourceEntry& entry, uint64_t* end) {
  const Shape& shape = entry.spec.shape;
  const uint64_t bytes = CheckedTensorBytes(entry.spec);
  if (entry.strides.empty() || bytes == 0) return CheckedAdd(entry.offset_bytes, bytes, end);
  const uint64_t element_bytes = InfoOf(entry.spec.dtype).bits / 8;
  *end = entry.offset_bytes + element_bytes;
  for (size_t i = 0; i < shape.size(); ++i) {
    uint64_t step = 0;
    if (!CheckedMul(shape[i] - 1, entry.strides[i] * element_bytes, &step) ||
        !CheckedAdd(*end, step, end)) {
      return false;
    }
  }
  return true;
}

// "" if keys, storages and extents of what was read fit one another and the file.
std::string Fault(const SourceStateDict& dict, uint64_t file_bytes, const Limits& limits) {
  for (const SourceStorage& storage : dict.storages) {
    if (!InRange(storage.offset_bytes, storage.stored_bytes, file_bytes)) return "storage";
    const bool raw = storage.encoding == SourceStorage::Encoding::kRaw;
    if (raw && storage.stored_bytes != storage.size_bytes) return "raw storage";
  }
  absl::flat_hash_set<std::string> keys;
  for (const SourceEntry& entry : dict.entries) {
    uint64_t end = 0;
    if (!CheckKey(entry.spec.key, limits).ok()) return "key";
    if (!keys.insert(entry.spec.key).second) return "duplicate key";
    if (entry.storage >= dict.storages.size()) return "storage index";
    if (!EndOf(entry, &end) || end > dict.storages[entry.storage].size_bytes) return "extent";
    if (!entry.strides.empty() && entry.strides.size() != entry.spec.shape.size()) return "rank";
  }
  for (const std::vector<uint32_t>& tie : dict.ties) {
    for (const uint32_t entry : tie) {
      if (entry >= dict.entries.size()) return "tie";
    }
  }
  return "";
}

// Reads `file` both as what it was and by its content. Each time it is refused with a
// reason on one line, or what comes out has no fault.
void ExpectNoNonsense(const Sample& sample, const std::string& file, const std::string& where) {
  const Limits limits = SmallLimits();
  for (const Format format : {sample.format, Format::kUnknown}) {
    StringSource source(file);
    const auto dict = ReadStateDict(source, format, limits);
    absl::Status status = dict.status();
    if (dict.ok()) {
      ASSERT_EQ(Fault(*dict, file.size(), limits), "") << sample.name << " " << where;
      status = ReadAll(source, format, limits).status();
    }
    if (status.ok()) continue;
    ASSERT_NE(GetReason(status), Reason::kNone) << sample.name << " " << where << ": " << status;
    ASSERT_EQ(status.message().find('\n'), std::string::npos) << sample.name << " " << where;
  }
}

TEST(EveryByte, SamplesAreRead) {
  for (const Sample& sample : Samples()) {
    EXPECT_LE(sample.file.size(), sample.format == Format::kPyTorchTar ? 8192u : 1024u);
    StringSource source(sample.file);
    const auto dict = ReadStateDict(source, Format::kUnknown, Limits());
    ASSERT_TRUE(dict.ok()) << sample.name << ": " << dict.status();
    EXPECT_EQ(dict->format, sample.format) << sample.name;
    EXPECT_FALSE(dict->entries.empty()) << sample.name;
    EXPECT_EQ(Fault(*dict, sample.file.size(), Limits()), "") << sample.name;
  }
}

TEST(EveryByte, IsMissedWhereTheFileIsCut) {
  for (const Sample& sample : Samples()) {
    for (size_t n = 0; n < sample.file.size(); ++n) {
      const std::string cut = sample.file.substr(0, n);
      const auto declared = ReadAll(cut, sample.format, SmallLimits());
      ASSERT_TRUE(FailsWith(declared.status(), Reason::kTruncated, ""))
          << sample.name << " cut at " << n;
      ASSERT_FALSE(ReadAll(cut, Format::kUnknown, SmallLimits()).ok())
          << sample.name << " cut at " << n;
    }
  }
}

TEST(EveryByte, IsNoisyOrHarmlessWhenChanged) {
  for (const Sample& sample : Samples()) {
    for (size_t at = 0; at < sample.file.size(); ++at) {
      const auto old = static_cast<uint8_t>(sample.file[at]);
      std::vector<uint8_t> values = {0, 0xFF, static_cast<uint8_t>(old + 1)};
      const int bits = sample.file.size() > 1024 ? 1 : 8;  // tar_test.cc flips all of its bits
      for (int bit = 0; bit < bits; ++bit) {
        values.push_back(static_cast<uint8_t>(old ^ (1 << bit)));
      }
      for (const uint8_t value : values) {
        std::string file = sample.file;
        file[at] = static_cast<char>(value);
        ExpectNoNonsense(sample, file, absl::StrCat("byte ", at, " = ", value));
        if (::testing::Test::HasFatalFailure()) return;
      }
    }
  }
}

TEST(EveryByte, OfASummedFileGivesTheSameTensorsOrNone) {
  for (const Sample& sample : Samples()) {
    if (!sample.summed) continue;
    const auto want = ReadAll(sample.file, sample.format);
    ASSERT_TRUE(want.ok()) << want.status();
    for (size_t i = 0; i < sample.file.size() * 8; ++i) {
      std::string file = sample.file;
      file[i / 8] = static_cast<char>(file[i / 8] ^ (1 << i % 8));
      const auto got = ReadAll(file, sample.format, SmallLimits());
      if (!got.ok()) continue;
      ASSERT_EQ(got->size(), want->size()) << sample.name << " byte " << i / 8;
      for (size_t t = 0; t < want->size(); ++t) {
        ASSERT_EQ((*got)[t].spec, (*want)[t].spec) << sample.name << " byte " << i / 8;
        ASSERT_EQ((*got)[t].bytes, (*want)[t].bytes) << sample.name << " byte " << i / 8;
      }
    }
  }
}

}  // namespace
}  // namespace ballast
