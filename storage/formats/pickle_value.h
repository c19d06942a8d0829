// The object graph that the pickle machine builds: inert values in an arena.
//
// A value is named by a 32-bit PickleRef into the graph, so that sharing and
// cycles cost nothing, nothing is destroyed recursively, and a value never
// outlives its graph. Nothing here was imported, called or constructed: a global
// is two names, a call is a global with its arguments.
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_VALUE_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_VALUE_H_

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "storage/formats/pickle_globals.h"

namespace ballast {

using PickleRef = uint32_t;
inline constexpr PickleRef kNoPickleRef = 0;       // "there is none"; never a value
inline constexpr size_t kPickleLongBytesMax = 64;  // of an int whose value is kept

enum class PickleKind : uint8_t {
  kNone,
  kBool,
  kInt,   // fits 64 bits, signed
  kLong,  // does not
  kFloat,
  kString,  // UTF-8 unless the writer broke it; Python 2 `str` too
  kBytes,
  kTuple,
  kList,
  kDict,  // dict, OrderedDict, defaultdict, Counter
  kSet,   // set and frozenset literals
  kGlobal,
  kPersistent,  // a persistent id (a storage)
  kInstance,    // NEWOBJ: a class, arguments, state, items; never constructed
  kCall,        // REDUCE: an allowed global, arguments, state, items; never called
};

struct PickleGlobal {
  std::string module;
  std::string name;
  GlobalVerdict verdict = GlobalVerdict::kInert;
  std::string FullName() const { return module + "." + name; }
};

// What a list, dict, set, instance or call consists of.
struct PickleObject {
  PickleRef callee = kNoPickleRef;  // class or function; a kGlobal; none for plain containers
  PickleRef args = kNoPickleRef;    // a kTuple
  PickleRef state = kNoPickleRef;   // what BUILD applied
  bool pairs = false;               // items alternate key, value
  std::vector<PickleRef> items;
};

// Chunks of memory that are freed together and never move.
class PickleArena {
 public:
  // `size` bytes, aligned for any PickleRef; never null, not even for none.
  char* Allocate(size_t size);
  uint64_t size_bytes() const { return size_bytes_; }

 private:
  std::vector<std::unique_ptr<char[]>> chunks_;
  char* free_ = nullptr;
  size_t left_ = 0;
  uint64_t size_bytes_ = 0;
};

// Not thread-safe while it is being built.
class PickleGraph {
 public:
  PickleGraph();
  PickleGraph(PickleGraph&&) = default;
  PickleGraph& operator=(PickleGraph&&) = default;

  // --- reading; a ref must come from this graph and be of the kind said ---
  PickleRef root() const { return root_; }
  // What the pickle says of itself; 0 if it says nothing.
  int protocol() const { return protocol_; }
  // Number of values; every ref is in 1..size()-1.
  size_t size() const { return nodes_.size(); }
  PickleKind kind(PickleRef ref) const { return nodes_[ref].kind; }
  bool Is(PickleRef ref, PickleKind kind) const { return nodes_[ref].kind == kind; }
  int64_t integer(PickleRef ref) const { return nodes_[ref].integer; }  // kInt, kBool
  double real(PickleRef ref) const { return nodes_[ref].real; }         // kFloat
  absl::string_view text(PickleRef ref) const;  // kString, kBytes; kLong: decimal digits, or
                                                // "" beyond kPickleLongBytesMax
  absl::Span<const PickleRef> items(PickleRef ref) const;  // kTuple and everything with an object
  // Where kBytes lie, counted from the front of the pickle; nullopt unless they were placed.
  std::optional<uint64_t> offset_bytes(PickleRef ref) const;
  const PickleGlobal& global(PickleRef ref) const { return globals_[nodes_[ref].integer]; }
  PickleRef persistent_id(PickleRef ref) const {  // kPersistent
    return static_cast<PickleRef>(nodes_[ref].integer);
  }
  // Null for kinds without one.
  const PickleObject* object(PickleRef ref) const;
  // The object's callee if it is a global with this name; false otherwise.
  bool CalleeIs(PickleRef ref, absl::string_view module, absl::string_view name) const;
  const std::vector<PickleGlobal>& globals() const { return globals_; }
  // What Python calls the type: "int", "OrderedDict", "argparse.Namespace".
  std::string TypeName(PickleRef ref) const;
  // Value of a string key in a dict or instance-with-items; kNoPickleRef if absent.
  PickleRef Find(PickleRef dict, absl::string_view key) const;

  // --- building ---
  PickleRef None() const { return 1; }
  PickleRef Bool(bool value) const { return value ? 3 : 2; }
  PickleRef Int(int64_t value);
  PickleRef Float(double value);
  // kString, kBytes, kLong. Takes the bytes from NewText, or memory that lives as long as
  // the graph.
  PickleRef Text(PickleKind kind, absl::string_view stored);
  char* NewText(size_t size) { return arena_.Allocate(size); }
  void Place(PickleRef bytes, uint64_t offset_bytes);
  PickleRef Tuple(absl::Span<const PickleRef> items);
  PickleRef Global(absl::string_view module, absl::string_view name);
  // Overrules the verdict on a global.
  void Allow(PickleRef global) {
    globals_[nodes_[global].integer].verdict = GlobalVerdict::kAllowed;
  }
  PickleRef Persistent(PickleRef id);
  // kList, kDict, kSet, kInstance or kCall.
  PickleRef Object(PickleKind kind, PickleRef callee = kNoPickleRef, PickleRef args = kNoPickleRef);
  PickleObject* mutable_object(PickleRef ref);
  // `ref` must have an object.
  void Append(PickleRef ref, absl::Span<const PickleRef> items);
  void SetState(PickleRef ref, PickleRef state);
  void set_root(PickleRef ref) { root_ = ref; }
  void set_protocol(int protocol) { protocol_ = protocol; }
  // Memory held, as counted against limits.pickle_memory_bytes_max.
  uint64_t memory_bytes() const;
  // Levels of the deepest value, counted when values were put into one another: what
  // a value receives afterwards does not count for what holds it already.
  uint32_t depth() const { return depth_; }

 private:
  struct Node {
    PickleKind kind = PickleKind::kNone;
    uint16_t depth = 0;  // levels below
    uint32_t size = 0;   // of text (bytes) or a tuple (items)
    union {
      int64_t integer;  // also an index into objects_ or globals_, or a ref
      double real;
      const char* text;
      const PickleRef* items;
    };
  };
  PickleRef Add(PickleKind kind, int64_t integer);
  void Deepen(PickleRef ref, PickleRef item);

  std::deque<Node> nodes_;
  std::deque<PickleObject> objects_;
  std::vector<PickleGlobal> globals_;
  absl::flat_hash_map<std::pair<std::string, std::string>, PickleRef> global_refs_;
  absl::flat_hash_map<PickleRef, uint64_t> places_;
  PickleArena arena_;
  uint64_t item_bytes_ = 0;  // capacity of all objects' items
  uint32_t depth_ = 0;
  PickleRef root_ = kNoPickleRef;
  int protocol_ = 0;
};

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_VALUE_H_
