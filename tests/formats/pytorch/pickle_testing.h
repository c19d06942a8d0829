// Pickles by hand: one function per opcode or idiom, joined with absl::StrCat.
#ifndef BALLAST_TESTS_FORMATS_PYTORCH_PICKLE_TESTING_H_
#define BALLAST_TESTS_FORMATS_PYTORCH_PICKLE_TESTING_H_

#include <string>
#include <vector>

#include "tests/formats/formats_testing.h"
#include "tests/formats/pytorch/zip_testing.h"

namespace ballast {

// Protocol 2, the object, STOP.
inline std::string Pickled(absl::string_view object) {
  return absl::StrCat("\x80\x02", object, ".");
}
inline std::string Str(absl::string_view text) {
  return absl::StrCat("X", Le(text.size(), 4), text);
}
inline std::string Num(int64_t value) {
  if (value >= 0 && value < 256) return absl::StrCat("K", Le(value, 1));
  return absl::StrCat("\x8a\x08", Le(static_cast<uint64_t>(value), 8));
}
inline std::string Glob(absl::string_view module, absl::string_view name) {
  return absl::StrCat("c", module, "\n", name, "\n");
}
inline std::string TupleOf(const std::vector<std::string>& items) {
  std::string out = "(";
  for (const std::string& item : items) out += item;
  return out + "t";
}
inline std::string NumsOf(const std::vector<int64_t>& numbers) {
  std::string out = "(";
  for (const int64_t number : numbers) out += Num(number);
  return out + "t";
}
// {key: value, …}; the values alternate.
inline std::string DictOf(const std::vector<std::string>& items) {
  std::string out = "}(";
  for (const std::string& item : items) out += item;
  return out + "u";
}
inline std::string ListOf(const std::vector<std::string>& items) {
  std::string out = "](";
  for (const std::string& item : items) out += item;
  return out + "e";
}
// callee(*args) by REDUCE.
inline std::string CallOf(const std::string& callee, const std::vector<std::string>& args) {
  return absl::StrCat(callee, TupleOf(args), "R");
}
inline std::string OrderedDict() { return Glob("collections", "OrderedDict") + ")R"; }

inline std::string StoragePid(absl::string_view storage_class, absl::string_view key, int64_t numel,
                              absl::string_view module = "torch") {
  return absl::StrCat(
      TupleOf({Str("storage"), Glob(module, storage_class), Str(key), Str("cpu"), Num(numel)}),
      "Q");
}

// What _rebuild_tensor_v2 gets; change a member to make it wrong.
struct V2 {
  std::string storage = StoragePid("FloatStorage", "0", 4);
  std::string offset = Num(0);
  std::string size = NumsOf({4});
  std::string stride = NumsOf({1});
  std::string grad = "\x89";
  std::string hooks = OrderedDict();
  std::vector<std::string> more = {};
  std::string function = Glob("torch._utils", "_rebuild_tensor_v2");

  std::string Call() const {
    std::vector<std::string> args = {storage, offset, size, stride, grad, hooks};
    args.insert(args.end(), more.begin(), more.end());
    return CallOf(function, args);
  }
};

// float32 [4] in storage 0.
inline std::string Floats() { return V2().Call(); }

struct TorchZipOptions {
  std::vector<std::pair<std::string, std::string>> storages = {{"0", std::string(16, 'x')}};
  std::vector<std::pair<std::string, std::string>> more = {};  // records
  std::string version = "3\n";
};

// A file of torch.save around a pickle.
inline std::string TorchZip(const std::string& pickle, const TorchZipOptions& options = {}) {
  std::vector<ZipPart> parts = {{"archive/data.pkl", pickle}};
  for (const auto& [key, bytes] : options.storages) parts.push_back({"archive/data/" + key, bytes});
  for (const auto& [name, bytes] : options.more) parts.push_back({"archive/" + name, bytes});
  if (!options.version.empty()) parts.push_back({"archive/version", options.version});
  return BuildZip(parts);
}

}  // namespace ballast

#endif  // BALLAST_TESTS_FORMATS_PYTORCH_PICKLE_TESTING_H_
