#include "storage/formats/pickle_json.h"

#include <charconv>
#include <cmath>

#include "absl/strings/str_cat.h"
#include "storage/base/utf8.h"
#include "storage/formats/json_text.h"

namespace ballast {
namespace {

constexpr int kDepthMax = 32;

std::string FloatText(double value) {
  char buffer[40];
  const auto end = std::to_chars(buffer, buffer + sizeof(buffer), value).ptr;
  std::string text(buffer, end);
  if (text.find_first_of(".e") == std::string::npos) text += ".0";
  return text;
}

// Appends JSON text; false once there is no form for a value.
class JsonWriter {
 public:
  JsonWriter(const PickleGraph& graph, size_t bytes_max) : graph_(graph), max_(bytes_max) {}

  bool Write(PickleRef ref, int depth) {
    if (depth > kDepthMax || out_.size() > max_) return false;
    switch (graph_.kind(ref)) {
      case PickleKind::kNone:
        return Put("null");
      case PickleKind::kBool:
        return Put(graph_.integer(ref) != 0 ? "true" : "false");
      case PickleKind::kInt:
        return Put(absl::StrCat(graph_.integer(ref)));
      case PickleKind::kFloat:
        return std::isfinite(graph_.real(ref)) && Put(FloatText(graph_.real(ref)));
      case PickleKind::kString:
        return PutString(graph_.text(ref));
      case PickleKind::kGlobal:
        return PutString(graph_.global(ref).FullName());
      case PickleKind::kTuple:
      case PickleKind::kList:
        return WriteList(ref, depth);
      case PickleKind::kDict:
        return WriteDict(ref, depth);
      default:
        return false;
    }
  }
  std::string Take() { return std::move(out_); }

 private:
  bool Put(absl::string_view text) {
    absl::StrAppend(&out_, text);
    return out_.size() <= max_;
  }
  bool PutString(absl::string_view text) {
    return text.size() <= max_ && IsUtf8(text) && Put(JsonString(text));
  }
  bool WriteList(PickleRef ref, int depth) {
    bool good = Put("[");
    bool first = true;
    for (const PickleRef item : graph_.items(ref)) {
      good = good && (first || Put(",")) && Write(item, depth + 1);
      if (!good) return false;
      first = false;
    }
    return Put("]");
  }
  bool WriteDict(PickleRef ref, int depth) {
    const auto items = graph_.items(ref);
    bool good = Put("{");
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      good = good && (i == 0 || Put(",")) && graph_.Is(items[i], PickleKind::kString) &&
             PutString(graph_.text(items[i])) && Put(":") && Write(items[i + 1], depth + 1);
      if (!good) return false;
    }
    return Put("}");
  }

  const PickleGraph& graph_;
  const size_t max_;
  std::string out_;
};

}  // namespace

std::optional<std::string> PickleJson(const PickleGraph& graph, PickleRef ref, size_t bytes_max) {
  JsonWriter writer(graph, bytes_max);
  if (!writer.Write(ref, 0)) return std::nullopt;
  return writer.Take();
}

}  // namespace ballast
