// A pickled value for a person to read, about as Python prints it.
#ifndef BALLAST_STORAGE_FORMATS_PICKLE_REPR_H_
#define BALLAST_STORAGE_FORMATS_PICKLE_REPR_H_

#include <string>

#include "storage/formats/pickle_value.h"

namespace ballast {

// One printable line of at most about bytes_max bytes; what is left out is "…":
//   nan, -inf, 123456789012345678901, 'text', b'\x00\x01…' (70000 bytes), [1, nan], {'a': 1},
//   {1, 2}, my.Class(lr=0.1), name.of.function(args), array of float64 [3, 4]
std::string PickleRepr(const PickleGraph& graph, PickleRef ref, size_t bytes_max);

}  // namespace ballast

#endif  // BALLAST_STORAGE_FORMATS_PICKLE_REPR_H_
