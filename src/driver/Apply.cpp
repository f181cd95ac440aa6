#include "strobe/strobe.h"

#include "CompileCuda.h"

namespace strobe {

Schedule apply(const Schedule &schedule, const Halide::Pipeline &pipeline, const Halide::Target &target) {
    return autoschedule(pipeline, target, schedule).schedule;
}

std::string explain(const std::vector<Halide::Func> &outputs, const Halide::Target &target, const Schedule &schedule) {
    if (target.has_feature(Halide::Target::CUDA)) {
        return compile_cuda(outputs, target, schedule).stages.explanation();
    }
    return compile(outputs, target, schedule).explanation();
}

}  // namespace strobe
