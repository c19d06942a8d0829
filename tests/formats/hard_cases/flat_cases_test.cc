// Sections A and D, TorchSharp's .dat and safetensors: the rows that the tables of
// torchsharp_test.cc and safetensors_test.cc do not have.
#include <string>
#include <vector>

#include "gtest/gtest.h"
#include "tests/formats/hard_cases/hard_case.h"
#include "tests/formats/pytorch/pickle_testing.h"

namespace ballast {
namespace {

std::string OneEntry(const std::string& tensor) { return Hex("01 0177") + tensor; }  // "w"

// Tensors of F32 [1] by their JSON names, data in that order.
std::string Named(const std::vector<std::string>& names, const std::string& more = "") {
  std::string json = "{" + more;
  std::string data;
  for (const std::string& name : names) {
    absl::StrAppend(&json, json.size() > 1 ? "," : "", "\"", name,
                    "\":{\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[", data.size(), ",",
                    data.size() + 4, "]}");
    data += "abcd";
  }
  return Safetensors(json + "}", data);
}

TEST(HardCases, TorchSharp) {
  SparseFile two_gib;
  two_gib.Bytes(OneEntry(Hex("0001 8080808008"))).Zeros(uint64_t{1} << 31);
  const std::string bn = Hex("02") + Hex("0a") + "bn.running" + Hex("0600 00000000") + Hex("16") +
                         "bn.num_batches_tracked" + Hex("0401 01 0700000000000000");
  const std::string script =
      TorchZip(Pickled(Glob("__torch__", "Net") + ")\x81" + DictOf({Str("w"), Floats()}) + "b"),
               {.more = {{"constants.pkl", Pickled(")")}}});
  RunHardCases({
      {"A45", two_gib, Reason::kNone, "torchsharp; w uint8 [2147483648]"},
      {"A50", OneEntry(Hex("0b01 02 0102")), Reason::kMalformed,
       "byte 1 of the bool tensor is 2, want 0 or 1"},
      {"A53", Hex("06 02 0102 0000803f 000000c0"), Reason::kNone,
       "torchsharp-tensor;  float32 [1, 2] 0000803f000000c0"},
      {"A55 declared",
       script,
       Reason::kWrongFormat,
       "this is a zip archive",
       {},
       Format::kTorchSharp},
      {"A55", script, Reason::kNone, "torchscript; w float32 [4]"},
      {"A58", OneEntry(Hex("0601 01 3f800000")), Reason::kNone, "w float32 [1] 3f800000"},
      {"A60", Hex("02 017a 0600 00000000 0161 0600 00000000"), Reason::kNone,
       "z float32 [] 00000000; a float32 [] 00000000"},
      {"A61", bn, Reason::kNone, "bn.num_batches_tracked int64 [1] 0700000000000000"},
  });
}

TEST(HardCases, Safetensors) {
  const std::string aliases =
      R"("__metadata__":{"lm_head.weight":"model.embed_tokens.weight","format":"pt"})";
  RunHardCases({
      {"D59", Named({"model.embed_tokens.weight"}, aliases), Reason::kNone,
       "leaf: __metadata__.lm_head.weight str \"model.embed_tokens.weight\""},
      {"D64",
       Named({"gr\xC3\xB6\xC3\x9F"
              "e",
              "gro\xCC\x88\xC3\x9F"
              "e"}),
       Reason::kNone,
       "gro\xCC\x88\xC3\x9F"
       "e float32 [1]"},
      {"D67", Named({"ab"}), Reason::kNone, "ab float32 [1] 61626364"},
      {"D70",
       Safetensors(R"({"w":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})",
                   std::string(8, '\0')),
       Reason::kNone, "w float32 [2] 0000000000000000"},
      {"D71",
       Safetensors(R"({"w":{"dtype":"I16","shape":[2],"data_offsets":[0,4]}})", Hex("00010002")),
       Reason::kNone, "w int16 [2] 00010002"},
  });
}

}  // namespace
}  // namespace ballast
