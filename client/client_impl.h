// What a Client is made of.
#ifndef BALLAST_CLIENT_CLIENT_IMPL_H_
#define BALLAST_CLIENT_CLIENT_IMPL_H_

#include <ballast/client.h>

#include <memory>
#include <utility>

#include "client/connection.h"

namespace ballast {

struct Client::Impl {
  Impl(std::unique_ptr<Transport> transport, ClientOptions options)
      : connection(std::move(transport), std::move(options)) {}

  Operation Begin(const CallControl& control) {
    return Operation(control, connection.options().cancel);
  }

  Connection connection;
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_CLIENT_IMPL_H_
