// The JSON form of pickled values that have one.
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_JSON_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_JSON_H_

#include <cstdint>
#include <optional>
#include <string>

#include "storage/formats/pickle_value.h"

namespace ballast {

enum class JsonForms : uint8_t {
  // None, bools, ints of 64 bits, finite floats, valid UTF-8 strings, names of globals, and
  // lists, tuples and string-keyed dicts of these.
  kPlain,
  // Also what reads as one of these once its type is known: bigger ints as strings of
  // digits, numpy's scalars, torch.Size, devices and paths as strings, sets as lists, and
  // objects that are nothing but attributes (argparse.Namespace) as JSON objects.
  kDescriptive,
};

struct PickledJson {
  std::optional<std::string> json;  // nullopt for anything else
  uint64_t work_bytes = 0;          // of JSON made on the way, in any case
};

// Up to 32 deep and bytes_max bytes long.
PickledJson PickleJson(const PickleGraph& graph, PickleRef ref, JsonForms forms, size_t bytes_max);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_JSON_H_
