// Names for calls that may be given up before they are answered. Of one environment, and used on its event loop only.
#pragma once
#include <cstdint>
#include <memory>
#include <unordered_map>

#include "../core/cancellation.h"

namespace sealpoint::node {

class Tickets {
 public:
  // 0: the call cannot be given up.
  std::shared_ptr<CancelFlag> take(uint32_t ticket) {
    if (ticket == 0) return nullptr;
    auto flag = std::make_shared<CancelFlag>();
    flags_[ticket] = flag;
    return flag;
  }
  void forget(uint32_t ticket) {
    if (ticket != 0) flags_.erase(ticket);
  }
  void cancel(uint32_t ticket) const {
    const auto found = flags_.find(ticket);
    if (found != flags_.end()) found->second->set();
  }

 private:
  std::unordered_map<uint32_t, std::shared_ptr<CancelFlag>> flags_;
};

}  // namespace sealpoint::node
