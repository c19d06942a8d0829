#include "storage/formats/pickle_value.h"

#include <algorithm>
#include <cstring>

#include "absl/strings/str_cat.h"

namespace ballast {
namespace {

constexpr size_t kChunkBytes = 64u << 10;
constexpr int64_t kSmallInts = 256;
constexpr PickleRef kEmptyTuple = 4;
constexpr PickleRef kFirstSmallInt = 5;

}  // namespace

char* PickleArena::Allocate(size_t size) {
  size = (size + 7) & ~size_t{7};
  if (size > left_ || free_ == nullptr) {
    const size_t chunk = std::max(size, kChunkBytes);
    chunks_.push_back(std::unique_ptr<char[]>(new char[chunk]));
    size_bytes_ += chunk;
    if (chunk == size) return chunks_.back().get();  // a big one keeps the open chunk open
    free_ = chunks_.back().get();
    left_ = chunk;
  }
  char* out = free_;
  free_ += size;
  left_ -= size;
  return out;
}

PickleGraph::PickleGraph() {
  Add(PickleKind::kNone, 0);  // kNoPickleRef
  Add(PickleKind::kNone, 0);
  Add(PickleKind::kBool, 0);
  Add(PickleKind::kBool, 1);
  Add(PickleKind::kTuple, 0);
  for (int64_t i = 0; i < kSmallInts; ++i) Add(PickleKind::kInt, i);
}

PickleRef PickleGraph::Add(PickleKind kind, int64_t integer) {
  nodes_.emplace_back();
  nodes_.back().kind = kind;
  nodes_.back().integer = integer;
  return static_cast<PickleRef>(nodes_.size() - 1);
}

void PickleGraph::Deepen(PickleRef ref, PickleRef item) {
  const uint32_t levels = std::min<uint32_t>(nodes_[item].depth + 1u, UINT16_MAX);
  if (levels <= nodes_[ref].depth) return;
  nodes_[ref].depth = static_cast<uint16_t>(levels);
  depth_ = std::max(depth_, levels);
}

PickleRef PickleGraph::Int(int64_t value) {
  if (value >= 0 && value < kSmallInts) return kFirstSmallInt + static_cast<PickleRef>(value);
  return Add(PickleKind::kInt, value);
}

PickleRef PickleGraph::Float(double value) {
  const PickleRef ref = Add(PickleKind::kFloat, 0);
  nodes_[ref].real = value;
  return ref;
}

PickleRef PickleGraph::Text(PickleKind kind, absl::string_view stored) {
  const PickleRef ref = Add(kind, 0);
  nodes_[ref].text = stored.data();
  nodes_[ref].size = static_cast<uint32_t>(stored.size());
  return ref;
}

void PickleGraph::Place(PickleRef bytes, uint64_t offset_bytes) {
  places_.emplace(bytes, offset_bytes);
  item_bytes_ += 4 * sizeof(uint64_t);
}

std::optional<uint64_t> PickleGraph::offset_bytes(PickleRef ref) const {
  const auto it = places_.find(ref);
  if (it == places_.end()) return std::nullopt;
  return it->second;
}

PickleRef PickleGraph::Tuple(absl::Span<const PickleRef> items) {
  if (items.empty()) return kEmptyTuple;
  char* memory = arena_.Allocate(items.size() * sizeof(PickleRef));
  std::memcpy(memory, items.data(), items.size() * sizeof(PickleRef));
  const PickleRef ref = Add(PickleKind::kTuple, 0);
  nodes_[ref].items = reinterpret_cast<const PickleRef*>(memory);
  nodes_[ref].size = static_cast<uint32_t>(items.size());
  for (const PickleRef item : items) Deepen(ref, item);
  return ref;
}

PickleRef PickleGraph::Global(absl::string_view module, absl::string_view name) {
  auto [it, added] = global_refs_.try_emplace({std::string(module), std::string(name)}, 0);
  if (!added) return it->second;
  it->second = Add(PickleKind::kGlobal, static_cast<int64_t>(globals_.size()));
  globals_.push_back(
      PickleGlobal{std::string(module), std::string(name), JudgeGlobal(module, name)});
  item_bytes_ += 3 * (module.size() + name.size()) + 160;
  return it->second;
}

PickleRef PickleGraph::Persistent(PickleRef id) {
  const PickleRef ref = Add(PickleKind::kPersistent, id);
  Deepen(ref, id);
  return ref;
}

PickleRef PickleGraph::Object(PickleKind kind, PickleRef callee, PickleRef args) {
  objects_.emplace_back();
  objects_.back().callee = callee;
  objects_.back().args = args;
  objects_.back().pairs = kind == PickleKind::kDict;
  const PickleRef ref = Add(kind, static_cast<int64_t>(objects_.size() - 1));
  if (args != kNoPickleRef) Deepen(ref, args);
  return ref;
}

PickleObject* PickleGraph::mutable_object(PickleRef ref) {
  return const_cast<PickleObject*>(object(ref));
}

void PickleGraph::Append(PickleRef ref, absl::Span<const PickleRef> items) {
  std::vector<PickleRef>& all = mutable_object(ref)->items;
  const size_t before = all.capacity();
  all.insert(all.end(), items.begin(), items.end());
  item_bytes_ += (all.capacity() - before) * sizeof(PickleRef);
  for (const PickleRef item : items) Deepen(ref, item);
}

void PickleGraph::SetState(PickleRef ref, PickleRef state) {
  mutable_object(ref)->state = state;
  Deepen(ref, state);
}

uint64_t PickleGraph::memory_bytes() const {
  return nodes_.size() * sizeof(Node) + objects_.size() * sizeof(PickleObject) +
         arena_.size_bytes() + item_bytes_;
}

absl::string_view PickleGraph::text(PickleRef ref) const {
  return absl::string_view(nodes_[ref].text, nodes_[ref].size);
}

const PickleObject* PickleGraph::object(PickleRef ref) const {
  switch (kind(ref)) {
    case PickleKind::kList:
    case PickleKind::kDict:
    case PickleKind::kSet:
    case PickleKind::kInstance:
    case PickleKind::kCall:
      return &objects_[nodes_[ref].integer];
    default:
      return nullptr;
  }
}

absl::Span<const PickleRef> PickleGraph::items(PickleRef ref) const {
  if (Is(ref, PickleKind::kTuple)) return {nodes_[ref].items, nodes_[ref].size};
  const PickleObject* found = object(ref);
  return found == nullptr ? absl::Span<const PickleRef>() : absl::MakeConstSpan(found->items);
}

bool PickleGraph::CalleeIs(PickleRef ref, absl::string_view module, absl::string_view name) const {
  const PickleObject* found = object(ref);
  if (found == nullptr || found->callee == kNoPickleRef) return false;
  const PickleGlobal& callee = global(found->callee);
  return callee.name == name && callee.module == module;
}

PickleRef PickleGraph::Find(PickleRef dict, absl::string_view key) const {
  const PickleObject* found = object(dict);
  if (found == nullptr || !found->pairs) return kNoPickleRef;
  for (size_t i = 0; i + 1 < found->items.size(); i += 2) {
    if (Is(found->items[i], PickleKind::kString) && text(found->items[i]) == key) {
      return found->items[i + 1];
    }
  }
  return kNoPickleRef;
}

std::string PickleGraph::TypeName(PickleRef ref) const {
  const PickleObject* found = object(ref);
  if (found != nullptr && found->callee != kNoPickleRef) {
    const PickleGlobal& callee = global(found->callee);
    if (callee.name == "OrderedDict") return "OrderedDict";
    if (callee.module == "_codecs" && callee.name == "encode") return "bytes";
    const bool builtin = callee.module == "builtins" || callee.module == "__builtin__";
    return builtin ? callee.name : callee.FullName();
  }
  switch (kind(ref)) {
    case PickleKind::kNone:
      return "NoneType";
    case PickleKind::kBool:
      return "bool";
    case PickleKind::kInt:
    case PickleKind::kLong:
      return "int";
    case PickleKind::kFloat:
      return "float";
    case PickleKind::kString:
      return "str";
    case PickleKind::kBytes:
      return "bytes";
    case PickleKind::kTuple:
      return "tuple";
    case PickleKind::kList:
      return "list";
    case PickleKind::kDict:
      return "dict";
    case PickleKind::kSet:
      return "set";
    case PickleKind::kGlobal:
      return "type";
    case PickleKind::kPersistent:
      return "storage";
    case PickleKind::kInstance:
    case PickleKind::kCall:
      break;
  }
  return "object";
}

}  // namespace ballast
