#include "Commands.h"

#include <cstdio>

namespace strobe {

using namespace Halide;

int list_command() {
    for (const std::string &name : registered_algorithms()) {
        const Instance instance = build_algorithm(name, {}, get_host_target());
        std::string buffers, scalars;
        for (const Parameter &p : instance.inputs) {
            std::string &text = p.is_buffer() ? buffers : scalars;
            text += (text.empty() ? "" : ", ") + p.name();
            if (!p.is_buffer() && p.default_value().defined()) {
                std::ostringstream value;
                value << *Internal::as_const_float(Internal::simplify(cast(Float(64), p.default_value())));
                text += "=" + value.str();
            }
        }
        std::printf("%-16s %s; %s\n", name.c_str(), buffers.c_str(), scalars.c_str());
    }
    return 0;
}

}  // namespace strobe
