// Everything that can be said of a configuration without starting the server: for
// `ballastd --check-config`. Nothing is made, opened for writing, bound or resolved.
#ifndef BALLAST_SERVER_SETUP_CHECK_H_
#define BALLAST_SERVER_SETUP_CHECK_H_

#include <string>
#include <vector>

#include "server/config.h"

namespace ballast {

// One line for each thing that would keep the server from starting or from serving:
// ConfigProblems, TlsProblems, unix sockets whose folder is not there or not writable,
// addresses that are given twice. The data folder is the engine's matter.
std::vector<std::string> SetupProblems(const Config& config);

}  // namespace ballast

#endif  // BALLAST_SERVER_SETUP_CHECK_H_
