#include "Commands.h"

#include "schedule/ParseSchedule.h"
#include "support/Error.h"
#include "support/NearestName.h"

#include <algorithm>

namespace strobe {

std::map<std::string, std::string> take_params(Request &request) {
    static const std::vector<std::string> params = {"dtype", "head_dim", "value_dim"};
    std::map<std::string, std::string> taken;
    for (const std::string &setting : request.settings) {
        const size_t equals = setting.find('=');
        if (equals == std::string::npos || equals == 0) {
            strobe_user_error() << "'" << setting
                                << "' is no setting; write name=value, for example dtype=fp32 or window=256";
        }
        const std::string name = setting.substr(0, equals), value = setting.substr(equals + 1);
        if (std::find(params.begin(), params.end(), name) != params.end()) {
            taken[name] = value;
            continue;
        }
        size_t used = 0;
        double number = 0;
        try {
            number = std::stod(value, &used);
        } catch (const std::exception &) {
            used = 0;
        }
        if (used == 0 || used != value.size()) {
            strobe_user_error() << name << " can't be '" << value << "'; it must be a number";
        }
        request.problem.scalars[name] = number;
    }
    request.settings.clear();
    return taken;
}

Halide::Target parse_target(const std::string &text) {
    const std::vector<std::string> known = {"host", "cuda-sm_80", "cuda-sm_90a", "sm_80", "sm_90a"};
    const Halide::Target host = Halide::get_host_target();
    if (text == "host") {
        return host;
    }
    // Halide has no name for 9.0: its plain "cuda" is our newest architecture.
    const std::string machine = text.compare(0, 5, "cuda-") == 0 ? text.substr(5) : text;
    if (machine == "sm_90a" || machine == "sm_90") {
        return host.with_feature(Halide::Target::CUDA);
    }
    if (machine == "sm_80") {
        return host.with_feature(Halide::Target::CUDA).with_feature(Halide::Target::CUDACapability80);
    }
    strobe_user_assert(Halide::Target::validate_target_string(text))
        << "there is no target " << text << suggestion_for(text, known) << "; any target string of Halide's works, too";
    return Halide::Target(text);
}

Schedule requested_schedule(const Request &request) {
    return request.schedule.empty() ? Schedule() : load_schedule(request.schedule);
}

std::vector<std::string> requested_algorithms(const Request &request) {
    const std::vector<std::string> known = registered_algorithms();
    for (const std::string &name : request.algorithms) {
        strobe_user_assert(std::find(known.begin(), known.end(), name) != known.end())
            << "there is no algorithm " << name << suggestion_for(name, known);
    }
    return request.algorithms.empty() ? known : request.algorithms;
}

}  // namespace strobe
