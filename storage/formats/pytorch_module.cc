#include "storage/formats/pytorch_module.h"

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"

namespace ballast {
namespace {

using NameSet = absl::flat_hash_set<absl::string_view>;

bool IsDict(const PickleGraph& graph, PickleRef ref) {
  return ref != kNoPickleRef && graph.Is(ref, PickleKind::kDict);
}

// The strings in a set literal or in set([...]).
NameSet Names(const PickleGraph& graph, PickleRef set) {
  NameSet names;
  if (set == kNoPickleRef) return names;
  auto items = graph.items(set);
  if (graph.Is(set, PickleKind::kCall)) {
    const auto args = graph.items(graph.object(set)->args);
    items = args.size() == 1 ? graph.items(args[0]) : absl::Span<const PickleRef>();
  }
  for (const PickleRef item : items) {
    if (graph.Is(item, PickleKind::kString)) names.insert(graph.text(item));
  }
  return names;
}

void AddNotNone(const PickleGraph& graph, PickleRef dict, Kind kind, const NameSet& skip,
                std::vector<PickleChild>* out) {
  const auto items = graph.items(dict);
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    if (graph.Is(items[i + 1], PickleKind::kNone)) continue;
    if (graph.Is(items[i], PickleKind::kString) && skip.contains(graph.text(items[i]))) continue;
    out->push_back({items[i], items[i + 1], kind});
  }
}

}  // namespace

PickleRef InstanceState(const PickleGraph& graph, PickleRef ref) {
  if (!graph.Is(ref, PickleKind::kInstance)) return kNoPickleRef;
  PickleRef state = graph.object(ref)->state;
  if (state != kNoPickleRef && graph.Is(state, PickleKind::kTuple) && !graph.items(state).empty()) {
    state = graph.items(state)[0];
  }
  return IsDict(graph, state) ? state : kNoPickleRef;
}

bool IsPickledModule(const PickleGraph& graph, PickleRef ref) {
  const PickleRef state = InstanceState(graph, ref);
  return state != kNoPickleRef && IsDict(graph, graph.Find(state, "_parameters")) &&
         IsDict(graph, graph.Find(state, "_buffers")) &&
         IsDict(graph, graph.Find(state, "_modules"));
}

std::vector<PickleChild> ModuleChildren(const PickleGraph& graph, PickleRef ref) {
  const PickleRef state = InstanceState(graph, ref);
  const NameSet transient = Names(graph, graph.Find(state, "_non_persistent_buffers_set"));
  std::vector<PickleChild> children;
  AddNotNone(graph, graph.Find(state, "_parameters"), Kind::kParameter, {}, &children);
  AddNotNone(graph, graph.Find(state, "_buffers"), Kind::kBuffer, transient, &children);
  AddNotNone(graph, graph.Find(state, "_modules"), Kind::kUnknown, {}, &children);
  return children;
}

}  // namespace ballast
