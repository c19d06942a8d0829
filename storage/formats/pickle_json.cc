#include "storage/formats/pickle_json.h"

#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "storage/base/utf8.h"
#include "storage/formats/json_text.h"
#include "storage/formats/pickle_plain.h"

namespace ballast {
namespace {

constexpr int kDepthMax = 32;

// Appends JSON text; false once there is no form for a value.
class JsonWriter {
 public:
  JsonWriter(const PickleGraph& graph, JsonForms forms, size_t bytes_max)
      : graph_(graph), descriptive_(forms == JsonForms::kDescriptive), max_(bytes_max) {}

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
        return WriteList(graph_.items(ref), depth);
      case PickleKind::kDict:
        return WriteDict(ref, depth);
      default:
        return descriptive_ && WriteDescribed(ref, depth);
    }
  }
  std::string& out() { return out_; }

 private:
  bool Put(absl::string_view text) {
    absl::StrAppend(&out_, text);
    return out_.size() <= max_;
  }
  bool PutString(absl::string_view text) {
    return text.size() <= max_ && IsUtf8(text) && Put(JsonString(text));
  }
  bool WriteList(absl::Span<const PickleRef> items, int depth) {
    bool good = Put("[");
    bool first = true;
    for (const PickleRef item : items) {
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
  bool WriteDescribed(PickleRef ref, int depth) {
    if (graph_.Is(ref, PickleKind::kLong)) {
      return !graph_.text(ref).empty() && PutString(graph_.text(ref));
    }
    if (const auto items = PickledItems(graph_, ref)) return WriteList(*items, depth);
    if (const auto scalar = PickledNumpyScalar(graph_, ref)) {
      return !scalar->json.empty() && Put(scalar->json);
    }
    if (const auto name = PickledName(graph_, ref)) return PutString(*name);
    const PickleRef attributes = PickledAttributes(graph_, ref);
    return attributes != kNoPickleRef && WriteDict(attributes, depth);
  }

  const PickleGraph& graph_;
  const bool descriptive_;
  const size_t max_;
  std::string out_;
};

}  // namespace

PickledJson PickleJson(const PickleGraph& graph, PickleRef ref, JsonForms forms, size_t bytes_max) {
  JsonWriter writer(graph, forms, bytes_max);
  PickledJson result;
  const bool good = writer.Write(ref, 0);
  result.work_bytes = writer.out().size();
  if (good) result.json = std::move(writer.out());
  return result;
}

}  // namespace ballast
