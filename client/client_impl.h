// What a Client is made of.
#ifndef BALLAST_CLIENT_CLIENT_IMPL_H_
#define BALLAST_CLIENT_CLIENT_IMPL_H_

#include <ballast/client.h>

#include <memory>
#include <string>
#include <utility>

#include "client/async_pushes.h"
#include "client/connection.h"

namespace ballast {

struct Client::Impl {
  Impl(std::unique_ptr<Transport> transport, ClientOptions options)
      : connection(std::move(transport), std::move(options)),
        pushes(connection.options().async_pushes_max,
               [this](absl::Span<const TensorView> tensors, const std::string& model,
                      const PushOptions& push) { return PushTensors(tensors, model, push); }) {}

  absl::StatusOr<PushResult> PushTensors(absl::Span<const TensorView> tensors,
                                         const std::string& model, const PushOptions& options);

  Operation Begin(const CallControl& control) {
    return Operation(control, connection.options().cancel);
  }

  Connection connection;
  AsyncPushes pushes;  // last: its thread uses the connection
};

}  // namespace ballast

#endif  // BALLAST_CLIENT_CLIENT_IMPL_H_
