#include "Commands.h"
#include "driver/Compile.h"

#include <cstdio>

namespace strobe {

int explain_command(Request request) {
    const std::map<std::string, std::string> params = take_params(request);
    const Halide::Target target = parse_target(request.target);
    const Instance instance = build_algorithm(request.algorithms.at(0), params, target);
    const Compilation c = compile(instance.outputs, target, requested_schedule(request));
    std::fputs(c.explanation().c_str(), stdout);
    return 0;
}

}  // namespace strobe
