#include "storage/formats/pickle_repr.h"

#include <optional>

#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/base/utf8.h"
#include "storage/formats/json_text.h"
#include "storage/formats/pickle_plain.h"

namespace ballast {
namespace {

constexpr int kDepthMax = 4;
constexpr size_t kTextBytesShown = 64;

class ReprWriter {
 public:
  ReprWriter(const PickleGraph& graph, size_t bytes_max) : graph_(graph), max_(bytes_max) {}

  void Write(PickleRef ref, int depth) {
    if (depth > kDepthMax) return Put("…");
    switch (graph_.kind(ref)) {
      case PickleKind::kNone:
        return Put("None");
      case PickleKind::kBool:
        return Put(graph_.integer(ref) != 0 ? "True" : "False");
      case PickleKind::kInt:
        return Put(absl::StrCat(graph_.integer(ref)));
      case PickleKind::kLong:
        return Put(graph_.text(ref).empty() ? "a very long int" : graph_.text(ref));
      case PickleKind::kFloat:
        return Put(FloatText(graph_.real(ref)));
      case PickleKind::kString:
        return WriteText("'", graph_.text(ref));
      case PickleKind::kBytes:
        return WriteText("b'", graph_.text(ref));
      case PickleKind::kGlobal:
        return Put(graph_.global(ref).FullName());
      case PickleKind::kPersistent:
        return Put("storage");
      case PickleKind::kTuple:
        return WriteItems("(", graph_.items(ref), ")", depth);
      case PickleKind::kList:
        return WriteItems("[", graph_.items(ref), "]", depth);
      case PickleKind::kDict:
        return WritePairs("{", graph_.items(ref), ": ", "}", depth);
      case PickleKind::kSet:
        return WriteItems("{", graph_.items(ref), "}", depth);
      case PickleKind::kInstance:
      case PickleKind::kCall:
        return WriteObject(ref, depth);
    }
  }
  bool full() const { return out_.size() > max_; }
  const std::string& out() const { return out_; }

 private:
  void Put(absl::string_view text) {
    if (!full()) absl::StrAppend(&out_, text);
  }
  void WriteText(absl::string_view quote, absl::string_view text) {
    const absl::string_view shown = Utf8Prefix(text, kTextBytesShown);
    // What is no text at all is shown byte by byte.
    const absl::string_view bytes = shown.empty() ? text.substr(0, kTextBytesShown / 4) : shown;
    Put(absl::StrCat(quote, Printable(bytes), bytes.size() < text.size() ? "…'" : "'"));
    if (bytes.size() < text.size()) Put(absl::StrCat(" (", text.size(), " bytes)"));
  }
  void WriteItems(absl::string_view open, absl::Span<const PickleRef> items,
                  absl::string_view close, int depth) {
    Put(open);
    for (size_t i = 0; i < items.size() && !full(); ++i) {
      if (i > 0) Put(", ");
      Write(items[i], depth + 1);
    }
    Put(close);
  }
  void WritePairs(absl::string_view open, absl::Span<const PickleRef> items,
                  absl::string_view between, absl::string_view close, int depth) {
    Put(open);
    for (size_t i = 0; i + 1 < items.size() && !full(); i += 2) {
      if (i > 0) Put(", ");
      const bool name = between == "=" && graph_.Is(items[i], PickleKind::kString);
      name ? Put(graph_.text(items[i])) : Write(items[i], depth + 1);
      Put(between);
      Write(items[i + 1], depth + 1);
    }
    Put(close);
  }
  void WriteObject(PickleRef ref, int depth) {
    std::string scratch;
    if (const auto bytes = PickledBytes(graph_, ref, &scratch)) return WriteText("b'", *bytes);
    if (const auto array = PickledNumpyArray(graph_, ref)) {
      return Put(absl::StrCat("array of ", *array));
    }
    if (const auto scalar = PickledNumpyScalar(graph_, ref)) {
      return Put(scalar->json.empty() ? scalar->text : scalar->json);
    }
    if (const auto name = PickledName(graph_, ref)) return WriteText("'", *name);
    Put(graph_.TypeName(ref));
    const PickleObject* object = graph_.object(ref);
    const bool state = object->state != kNoPickleRef;
    if (state && graph_.Is(object->state, PickleKind::kDict)) {
      return WritePairs("(", graph_.items(object->state), "=", ")", depth);
    }
    const bool args = !state && object->args != kNoPickleRef;
    if (args) return WriteItems("(", graph_.items(object->args), ")", depth);
    const auto items =
        state ? absl::MakeConstSpan(&object->state, 1) : absl::MakeConstSpan(object->items);
    WriteItems("(", items, ")", depth);
  }

  const PickleGraph& graph_;
  const size_t max_;
  std::string out_;
};

}  // namespace

std::string PickleRepr(const PickleGraph& graph, PickleRef ref, size_t bytes_max) {
  ReprWriter writer(graph, bytes_max);
  writer.Write(ref, 0);
  const std::string text = Printable(writer.out());
  if (text.size() <= bytes_max) return text;
  return absl::StrCat(Utf8Prefix(text, bytes_max), "…");
}

}  // namespace ballast
