// What the pickle machine thinks of the globals that a pickle names.
//
// Nothing is ever imported or called; the question is only whether a file that
// names a global may come in. Matching is exact (module and name), because a
// deny list by prefix has holes and an allow list by prefix has more.
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_GLOBALS_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_GLOBALS_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace ballast {

enum class GlobalVerdict : uint8_t {
  kInert,    // may be named, and be the class of an inert instance; a call of it refuses the file
  kAllowed,  // may also be "called" (REDUCE): tensor rebuilders, containers, plain values
  kUnsafe,   // can only serve to run code: refuses the file wherever it stands
};

// Python 2's module names (`__builtin__`, `copy_reg`, …) count as Python 3's.
// A module on the unsafe list stands for its submodules too; an unsafe name
// reached through a dotted path (`os.system` in module `torch`) is found.
GlobalVerdict JudgeGlobal(absl::string_view module, absl::string_view name);

// "allowed", "inert", "unsafe".
absl::string_view GlobalVerdictName(GlobalVerdict verdict);

// True for classes whose instances are read as dicts.
bool IsDictClass(absl::string_view module, absl::string_view name);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_GLOBALS_H_
