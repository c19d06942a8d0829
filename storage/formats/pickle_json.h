// The JSON form of pickled values that have one.
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_JSON_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_JSON_H_

#include <optional>
#include <string>

#include "storage/formats/pickle_value.h"

namespace ballast {

// None, bools, ints of 64 bits, finite floats, valid UTF-8 strings, names of
// globals, and lists, tuples and string-keyed dicts of these, up to 32 deep.
// nullopt for anything else and for more than bytes_max bytes of JSON.
std::optional<std::string> PickleJson(const PickleGraph& graph, PickleRef ref, size_t bytes_max);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_JSON_H_
