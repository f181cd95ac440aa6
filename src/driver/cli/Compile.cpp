#include "driver/Compile.h"

#include "Commands.h"
#include "Progress.h"
#include "support/Error.h"

#include <cstdio>
#include <filesystem>

namespace strobe {

using namespace Halide;

int compile_command(CompileRequest request) {
    const std::map<std::string, std::string> params = take_params(request);
    strobe_user_assert(request.problem.scalars.empty())
        << request.problem.scalars.begin()->first << " is a scalar of the compiled function, given when it is called; "
        << "only dtype, head_dim and value_dim are fixed here";
    const std::string algorithm = request.algorithms.at(0);
    const Target target = parse_target(request.target);
    const std::string name = request.function_name.empty() ? algorithm : request.function_name;
    const std::string base = request.output.empty() ? name : request.output;

    Progress progress;
    Stopwatch watch;
    progress.step("compiling " + algorithm + " for " + request.target);
    Instance instance = build_algorithm(algorithm, params, target);
    autoschedule(instance.pipeline, target, requested_schedule(request));
    const std::filesystem::path folder = std::filesystem::path(base).parent_path();
    if (!folder.empty()) {
        std::filesystem::create_directories(folder);
    }
    instance.pipeline.compile_to(
        {{OutputFileType::static_library, base + ".a"}, {OutputFileType::c_header, base + ".h"}}, instance.arguments(),
        name, target);
    progress.clear();
    std::printf("wrote %s.a and %s.h in %s\n", base.c_str(), base.c_str(), duration(watch.seconds()).c_str());
    return 0;
}

}  // namespace strobe
