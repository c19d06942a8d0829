#include "storage/formats/pytorch_walk.h"

#include <algorithm>
#include <array>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "storage/base/status.h"
#include "storage/formats/json_text.h"
#include "storage/formats/manifest_json.h"
#include "storage/formats/pickle_json.h"
#include "storage/formats/pickle_plain.h"
#include "storage/formats/pickle_repr.h"
#include "storage/formats/pytorch_module.h"

namespace ballast {
namespace {

constexpr size_t kMetadataJsonBytesMax = 1024;  // of one module
constexpr size_t kLeafJsonBytesMax = 64 << 10;
constexpr size_t kLeafTextBytesMax = 200;

// Top-level names of what is not weights. Exact, or up to a "*".
constexpr std::array<absl::string_view, 24> kOtherNames = {"optimizer*",
                                                           "optim",
                                                           "optim_*",
                                                           "optimizers",
                                                           "lr_scheduler*",
                                                           "scheduler*",
                                                           "sched",
                                                           "callbacks",
                                                           "loops",
                                                           "hyper_parameters",
                                                           "hparams*",
                                                           "args",
                                                           "config",
                                                           "cfg",
                                                           "scaler",
                                                           "grad_scaler*",
                                                           "amp*",
                                                           "rng_state*",
                                                           "random_rng_state",
                                                           "cuda_rng_state",
                                                           "torch_rng_state",
                                                           "trainer",
                                                           "train_state",
                                                           "training_state"};

bool IsOtherName(absl::string_view name) {
  return std::any_of(kOtherNames.begin(), kOtherNames.end(), [name](absl::string_view pattern) {
    if (pattern.back() != '*') return name == pattern;
    return absl::StartsWith(name, pattern.substr(0, pattern.size() - 1));
  });
}

// Half of a UTF-16 pair, which Python's pickles may hold and UTF-8 may not.
bool HasSurrogate(absl::string_view text) {
  for (size_t i = 0; i + 1 < text.size(); ++i) {
    if (text[i] == '\xED' && (text[i + 1] & 0xE0) == 0xA0) return true;
  }
  return false;
}

class Walker {
 public:
  Walker(const PickleGraph& graph, const Limits& limits, TensorDecoder* decoder,
         SourceStateDict* dict)
      : graph_(graph), limits_(limits), decoder_(decoder), dict_(dict) {}

  absl::Status Run();

 private:
  // A container that is being walked.
  struct Frame {
    PickleRef ref = kNoPickleRef;
    std::vector<PickleChild> children;
    size_t next = 0;
    size_t path_bytes = 0;
    Role role = Role::kWeights;
    bool named = true;  // every key on the way has a text form
  };

  absl::Status Visit(const PickleChild& value, Role role, bool named);
  absl::Status VisitNext();
  absl::Status CountVisit(PickleRef ref);
  absl::Status Enter(PickleRef ref, std::vector<PickleChild> children, Role role, bool named);
  absl::Status AddTensor(const PickleChild& value, Role role, bool named);
  void AddLeaf(PickleRef ref);
  bool IsPlainSequence(PickleRef ref);
  void AddMetadata(PickleRef dict);
  absl::StatusOr<std::vector<PickleChild>> DictChildren(PickleRef ref) const;
  std::vector<PickleChild> ScriptChildren(PickleRef ref) const;
  bool IsContainer(PickleRef ref) const;
  bool IsOptimizer(PickleRef dict) const;
  // Appends the child's name to the path; false if it has no text form.
  bool AppendName(const PickleChild& child, size_t index);
  absl::Status CheckUnique() const;

  const PickleGraph& graph_;
  const Limits& limits_;
  TensorDecoder* decoder_;
  SourceStateDict* dict_;
  std::vector<Frame> frames_;
  absl::flat_hash_set<PickleRef> on_path_;
  std::string path_;
  uint64_t visits_ = 0;
  uint64_t memory_ = 0;  // of entries made
  uint64_t leaf_bytes_ = 0;
  size_t leaves_unlisted_ = 0;
  std::string metadata_;  // members of the JSON object, without braces
  absl::flat_hash_set<std::string> metadata_names_;
  bool metadata_dropped_ = false;
  size_t modules_ = 0;
  bool modular_root_ = false;  // the root is a module: its names are its attributes
};

absl::Status Walker::Run() {
  modular_root_ = IsPickledModule(graph_, graph_.root()) || IsScriptObject(graph_, graph_.root());
  RETURN_IF_ERROR(Visit({kNoPickleRef, graph_.root(), Kind::kUnknown}, Role::kWeights, true));
  if (frames_.empty() && dict_->entries.empty()) {
    return UnsupportedError("the file holds a value of type ",
                            Printable(graph_.TypeName(graph_.root())),
                            ", want a state dict or another container of tensors");
  }
  while (!frames_.empty()) RETURN_IF_ERROR(VisitNext());
  RETURN_IF_ERROR(CheckUnique());
  if (!metadata_.empty()) dict_->metadata_json = absl::StrCat("{", metadata_, "}");
  if (metadata_dropped_) {
    dict_->warnings.push_back("_metadata is not plain enough to be kept, or too long");
  }
  if (leaves_unlisted_ > 0) {
    dict_->warnings.push_back(
        absl::StrCat(leaves_unlisted_, " more values that are no tensors are not listed"));
  }
  if (modules_ > 0) {
    dict_->warnings.push_back(
        absl::StrCat(modules_,
                     " pickled modules: their state dicts are reconstructed from their parameters, "
                     "buffers and submodules; hooks and overrides of state_dict are not applied"));
  }
  if (const size_t outside = decoder_->CountUndecoded(); outside > 0) {
    dict_->warnings.push_back(
        absl::StrCat(outside, " tensors inside other objects are no entries (attributes, caches)"));
  }
  return absl::OkStatus();
}

absl::Status Walker::VisitNext() {
  Frame& frame = frames_.back();
  path_.resize(frame.path_bytes);
  if (frame.next == frame.children.size()) {
    on_path_.erase(frame.ref);
    frames_.pop_back();
    return absl::OkStatus();
  }
  const size_t index = frame.next++;
  const PickleChild child = frame.children[index];
  const bool named = AppendName(child, index) && frame.named;
  Role role = frame.role;
  const bool checkpoint = frames_.size() == 1 && !modular_root_;
  if (checkpoint && IsContainer(child.value) && IsOtherName(path_)) role = Role::kOther;
  return Visit(child, role, named);
}

bool Walker::AppendName(const PickleChild& child, size_t index) {
  if (frames_.size() > 1) path_ += '.';
  if (child.key == kNoPickleRef) {
    absl::StrAppend(&path_, index);
    return true;
  }
  switch (graph_.kind(child.key)) {
    case PickleKind::kString:
    case PickleKind::kBytes: {
      const absl::string_view text = graph_.text(child.key);
      // One byte above the limit is enough for CheckKey to refuse it.
      absl::StrAppend(&path_, text.substr(0, limits_.key_bytes_max + 1));
      return true;
    }
    case PickleKind::kInt:
      absl::StrAppend(&path_, graph_.integer(child.key));
      return true;
    case PickleKind::kBool:
      absl::StrAppend(&path_, graph_.integer(child.key) != 0 ? "True" : "False");
      return true;
    default:
      absl::StrAppend(&path_, "<", graph_.TypeName(child.key), ">");
      return false;
  }
}

bool Walker::IsContainer(PickleRef ref) const {
  if (decoder_->IsTensor(ref)) return false;
  const PickleObject* object = graph_.object(ref);
  return graph_.Is(ref, PickleKind::kTuple) || object != nullptr;
}

bool Walker::IsOptimizer(PickleRef dict) const {
  return graph_.Find(dict, "state") != kNoPickleRef &&
         graph_.Find(dict, "param_groups") != kNoPickleRef;
}

// Shared values are walked once per reference, so work is counted, not values: an
// object's attributes are searched each time it is met.
absl::Status Walker::CountVisit(PickleRef ref) {
  const PickleObject* object = graph_.object(ref);
  ++visits_;
  if (object != nullptr && object->state != kNoPickleRef) {
    const auto state = graph_.items(object->state);
    visits_ += state.size() + (state.empty() ? 0 : graph_.items(state[0]).size());
  }
  if (visits_ <= limits_.pickle_opcodes_max) return absl::OkStatus();
  return LimitError("walking the pickled object: more than ", limits_.pickle_opcodes_max,
                    " values, want at most pickle_opcodes_max");
}

absl::Status Walker::Visit(const PickleChild& value, Role role, bool named) {
  const PickleRef ref = value.value;
  RETURN_IF_ERROR(CountVisit(ref));
  if (decoder_->IsTensor(ref)) return AddTensor(value, role, named);
  if (IsScriptObject(graph_, ref) && InstanceState(graph_, ref) != kNoPickleRef) {
    return Enter(ref, ScriptChildren(ref), role, named);
  }
  if (IsPickledModule(graph_, ref)) {
    ++modules_;
    return Enter(ref, ModuleChildren(graph_, ref), role, named);
  }
  const PickleObject* object = graph_.object(ref);
  const bool script = !frames_.empty() && IsScriptObject(graph_, frames_.back().ref);
  const bool dict =
      graph_.Is(ref, PickleKind::kDict) || (graph_.Is(ref, PickleKind::kInstance) && object->pairs);
  if (dict) AddMetadata(ref);
  const bool leaf = script || (graph_.items(ref).empty() && !frames_.empty());
  if (dict && !leaf) {
    ASSIGN_OR_RETURN(std::vector<PickleChild> children, DictChildren(ref));
    return Enter(ref, std::move(children), IsOptimizer(ref) ? Role::kOther : role, named);
  }
  const bool sequence = graph_.Is(ref, PickleKind::kTuple) || graph_.Is(ref, PickleKind::kList) ||
                        (object != nullptr && !object->items.empty() && !object->pairs &&
                         !graph_.Is(ref, PickleKind::kSet));
  if (sequence && !leaf && (frames_.empty() || !IsPlainSequence(ref))) {
    std::vector<PickleChild> children;
    children.reserve(graph_.items(ref).size());
    for (const PickleRef item : graph_.items(ref)) children.push_back({kNoPickleRef, item});
    return Enter(ref, std::move(children), role, named);
  }
  if (!frames_.empty()) AddLeaf(ref);
  return absl::OkStatus();
}

absl::Status Walker::Enter(PickleRef ref, std::vector<PickleChild> children, Role role,
                           bool named) {
  if (frames_.size() >= limits_.pickle_depth_max) {
    return LimitError("walking the pickled object: more than ", limits_.pickle_depth_max,
                      " levels, want at most pickle_depth_max");
  }
  // The one empty tuple is everywhere; it holds nothing, so it closes no cycle.
  if (!on_path_.insert(ref).second) {
    return MalformedError("value at ", QuotedKey(path_), " contains itself");
  }
  frames_.push_back(Frame{ref, std::move(children), 0, path_.size(), role, named});
  return absl::OkStatus();
}

absl::StatusOr<std::vector<PickleChild>> Walker::DictChildren(PickleRef ref) const {
  const auto items = graph_.items(ref);
  std::vector<PickleChild> children;
  children.reserve(items.size() / 2);
  absl::flat_hash_set<absl::string_view> texts;
  absl::flat_hash_set<int64_t> numbers;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const PickleRef key = items[i];
    const bool fresh = graph_.Is(key, PickleKind::kString) ? texts.insert(graph_.text(key)).second
                       : graph_.Is(key, PickleKind::kInt)
                           ? numbers.insert(graph_.integer(key)).second
                           : true;
    if (!fresh) {
      return MalformedError("dict at ", QuotedKey(path_), " has a key twice: ",
                            graph_.Is(key, PickleKind::kInt) ? absl::StrCat(graph_.integer(key))
                                                             : QuotedKey(graph_.text(key)));
    }
    children.push_back({key, items[i + 1]});
  }
  return children;
}

std::vector<PickleChild> Walker::ScriptChildren(PickleRef ref) const {
  std::vector<PickleChild> children;
  const auto items = graph_.items(InstanceState(graph_, ref));
  for (size_t i = 0; i + 1 < items.size(); i += 2) children.push_back({items[i], items[i + 1]});
  return children;
}

absl::Status Walker::AddTensor(const PickleChild& value, Role role, bool named) {
  const std::string where = QuotedKey(path_);
  if (!named) return UnsupportedError("tensor ", where, " stands under a key without text form");
  const absl::Status key = CheckKey(path_, limits_);
  if (!key.ok() && HasSurrogate(path_)) {
    return UnsupportedError("key ", where, " has half of a surrogate pair, want UTF-8");
  }
  RETURN_IF_ERROR(key);
  if (dict_->entries.size() == limits_.entries_max) {
    return LimitError("number of tensors is above ", limits_.entries_max,
                      ", want at most entries_max");
  }
  memory_ += sizeof(SourceEntry) + path_.size();
  if (memory_ > limits_.pickle_memory_bytes_max) {
    return LimitError("entries take more than ", limits_.pickle_memory_bytes_max,
                      " bytes, want at most pickle_memory_bytes_max");
  }
  ASSIGN_OR_RETURN(SourceEntry entry, decoder_->Decode(value.value),
                   absl::StrCat("tensor ", where));
  entry.spec.key = path_;
  entry.spec.role = role;
  if (value.kind != Kind::kUnknown) entry.spec.kind = value.kind;
  dict_->entries.push_back(std::move(entry));
  return absl::OkStatus();
}

void Walker::AddLeaf(PickleRef ref) {
  SourceLeaf leaf;
  leaf_bytes_ += 2 * path_.size() + 64;  // what the list costs as JSON, roughly from above
  const bool full = leaf_bytes_ > limits_.metadata_bytes_max / 2;
  if (full || path_.size() > limits_.key_bytes_max) {
    ++leaves_unlisted_;
    return;
  }
  leaf.path = Printable(path_);
  leaf.type = Printable(PickledTypeName(graph_, ref));
  PickledJson json = PickleJson(graph_, ref, JsonForms::kDescriptive, kLeafJsonBytesMax);
  // A long way to no JSON counts as well: one value may be met any number of times.
  leaf_bytes_ += 2 * leaf.type.size() + json.work_bytes;
  if (json.json.has_value()) {
    leaf.json = *std::move(json.json);
  } else {
    leaf.text = PickleRepr(graph_, ref, kLeafTextBytesMax);
    leaf_bytes_ += 2 * leaf.text.size();
  }
  dict_->leaves.push_back(std::move(leaf));
}

// A list of numbers or the like, short enough for JSON: one leaf says it better than many.
bool Walker::IsPlainSequence(PickleRef ref) {
  if (leaf_bytes_ > limits_.metadata_bytes_max / 2) return false;
  const auto items = graph_.items(ref);
  visits_ += items.size();
  const bool plain = std::all_of(items.begin(), items.end(), [this](PickleRef item) {
    return graph_.kind(item) <= PickleKind::kString;
  });
  if (!plain) return false;
  const PickledJson json = PickleJson(graph_, ref, JsonForms::kDescriptive, kLeafJsonBytesMax);
  leaf_bytes_ += json.work_bytes;
  return json.json.has_value();
}

// `_metadata` hangs on an OrderedDict as an attribute: module prefix → versions. The
// prefixes of a nested state dict get its path in front, as its keys do.
void Walker::AddMetadata(PickleRef dict) {
  const PickleRef state = graph_.object(dict)->state;
  const PickleRef metadata = state == kNoPickleRef ? state : graph_.Find(state, "_metadata");
  if (metadata == kNoPickleRef || !graph_.Is(metadata, PickleKind::kDict)) return;
  const auto items = graph_.items(metadata);
  visits_ += items.size();
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const bool string = graph_.Is(items[i], PickleKind::kString);
    const absl::string_view name = string ? graph_.text(items[i]) : "";
    std::string prefix = path_;
    absl::StrAppend(&prefix, path_.empty() || name.empty() ? "" : ".", name);
    const auto json =
        PickleJson(graph_, items[i + 1], JsonForms::kPlain, kMetadataJsonBytesMax).json;
    const size_t left = limits_.metadata_bytes_max / 4 - metadata_.size();
    if (!string || !json.has_value() || !IsModuleMetadata(absl::StrCat("{\"\":", *json, "}")) ||
        !CheckKey(prefix, limits_).ok() || 6 * prefix.size() + json->size() + 4 > left ||
        !metadata_names_.insert(prefix).second) {
      metadata_dropped_ = true;
      continue;
    }
    absl::StrAppend(&metadata_, metadata_.empty() ? "" : ",", JsonString(prefix), ":", *json);
  }
}

absl::Status Walker::CheckUnique() const {
  absl::flat_hash_set<absl::string_view> keys;
  keys.reserve(dict_->entries.size());
  for (const SourceEntry& entry : dict_->entries) {
    if (keys.insert(entry.spec.key).second) continue;
    return AmbiguousError("two tensors are called ", QuotedKey(entry.spec.key),
                          " when names are joined with \".\"");
  }
  return absl::OkStatus();
}

}  // namespace

bool IsScriptObject(const PickleGraph& graph, PickleRef ref) {
  if (!graph.Is(ref, PickleKind::kInstance)) return false;
  const std::string& module = graph.global(graph.object(ref)->callee).module;
  return module == "__torch__" || absl::StartsWith(module, "__torch__.");
}

absl::Status WalkPickle(const PickleGraph& graph, const Limits& limits, TensorDecoder* decoder,
                        SourceStateDict* dict) {
  return Walker(graph, limits, decoder, dict).Run();
}

}  // namespace ballast
