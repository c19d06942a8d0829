// A pickle machine that executes nothing.
//
// It runs every opcode of protocols 0–5 symbolically: GLOBAL pushes two names,
// REDUCE and NEWOBJ push a record of what would have been called. Iterative;
// memory grows with the bytes read, never with a length they claim.
//
// Source: CPython Lib/pickletools.py and Modules/_pickle.c. Stricter:
//   a code-running global anywhere     refused, by name (pickle_globals.h)
//   REDUCE of a global not allowed     refused, by name
//   INST, OBJ                          refused: they call a class without asking
//   EXT1/2/4, NEXT_BUFFER, READONLY_BUFFER   refused: they refer to things outside
//   BUILD, SETITEM(S), APPEND(S), ADDITEMS   only on what can take them
//   BUILD twice on one object, PROTO in the middle, MARK or values left at STOP: refused
//
// Errors: InvalidArgument   MALFORMED, TRUNCATED, UNSAFE; names the byte offset.
//         Unimplemented     the opcodes that refer to things outside.
//         ResourceExhausted pickle_bytes_max, pickle_opcodes_max, pickle_memory_bytes_max.
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_MACHINE_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_MACHINE_H_

#include <cstdint>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "storage/base/byte_io.h"
#include "storage/base/limits.h"
#include "storage/formats/pickle_value.h"

namespace ballast {

struct PickleResult {
  PickleGraph graph;        // graph.root() is what STOP returned
  uint64_t size_bytes = 0;  // of the pickle, STOP included
  uint64_t opcodes = 0;
};

// Old containers give the class of a module as a persistent id, with its source code
// for a human to compare. The id is the class then; the source is never looked at.
enum class ClassIds : uint8_t {
  kModule,  // ("module", class, file, source): before 1.6
  kTar,     // (class, file, source): before 0.1.10
};

inline constexpr absl::string_view kNestedFileModule = "torch.storage";
inline constexpr absl::string_view kNestedFileName = "_load_from_bytes";

// A tensor that was pickled without torch.save has its storage in bytes, as a file of its
// own, that torch.storage._load_from_bytes opens.
enum class NestedFiles : uint8_t {
  kRefused,  // the function refuses the pickle: what the bytes are is anybody's guess
  kPlaced,   // it may be named, and graph.offset_bytes says where bytes lie
};

// Runs one pickle from the stream's position to its STOP. The stream may have
// been read further: size_bytes says where the pickle ended.
absl::StatusOr<PickleResult> RunPickle(ByteStream* stream, const Limits& limits,
                                       ClassIds class_ids = ClassIds::kModule,
                                       NestedFiles nested = NestedFiles::kRefused);

// Runs the pickle at the front of `bytes`; what follows STOP is not looked at.
absl::StatusOr<PickleResult> RunPickle(absl::string_view bytes, const Limits& limits);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_MACHINE_H_
