#include <algorithm>

#include "storage/formats/pickle_input.h"
#include "storage/formats/pickle_json.h"
#include "storage/formats/pickle_machine.h"
#include "storage/formats/reader.h"
#include "tests/fuzz/check.h"
#include "tests/fuzz/targets.h"

namespace ballast::fuzz {
namespace {

constexpr size_t kJsonBytesMax = 512;

// Gives one to seven bytes at a time.
class CrumblingStream : public ByteStream {
 public:
  explicit CrumblingStream(absl::string_view bytes) : bytes_(bytes) {}
  absl::StatusOr<size_t> Read(absl::Span<char> out) override {
    step_ = step_ % 7 + 1;
    return bytes_.Read(out.subspan(0, step_));
  }

 private:
  ViewStream bytes_;
  size_t step_ = 0;
};

void CheckGraph(const PickleGraph& graph) {
  Require(graph.root() != kNoPickleRef && graph.root() < graph.size(), "a pickle has a root");
  Require(graph.memory_bytes() <= SmallLimits().pickle_memory_bytes_max, "memory is bounded");
  for (PickleRef ref = 1; ref < graph.size(); ++ref) {
    for (const PickleRef item : graph.items(ref)) {
      Require(item != kNoPickleRef && item < graph.size(), "an item is a value");
    }
    for (const JsonForms forms : {JsonForms::kPlain, JsonForms::kDescriptive}) {
      const auto json = PickleJson(graph, ref, forms, kJsonBytesMax).json;
      if (!json) continue;
      Require(json->size() <= kJsonBytesMax, "JSON is bounded", *json);
      CheckJson(*json);
    }
  }
}

}  // namespace

void FuzzPickle(absl::string_view input) {
  const absl::StatusOr<PickleResult> result = RunPickle(input, SmallLimits());
  CrumblingStream crumbs(input);
  const absl::StatusOr<PickleResult> again = RunPickle(&crumbs, SmallLimits());
  Require(result.status() == again.status(), "the size of reads does not matter",
          again.status().ToString());
  ViewStream tar(input);
  const absl::StatusOr<PickleResult> with_ids = RunPickle(&tar, SmallLimits(), ClassIds::kTar);
  if (!with_ids.ok()) CheckRefusal(with_ids.status());
  const StringSource source{std::string(input)};
  CheckAnswer(source, ReadStateDict(source, Format::kPickle, SmallLimits()));
  if (!result.ok()) return CheckRefusal(result.status());
  Require(result->size_bytes <= input.size() && input[result->size_bytes - 1] == '.',
          "a pickle ends with STOP");
  Require(result->graph.size() == again->graph.size() && result->opcodes == again->opcodes,
          "the size of reads does not matter");
  CheckGraph(result->graph);
}

}  // namespace ballast::fuzz
