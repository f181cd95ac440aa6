#include "Compile.h"

#include "CompileCuda.h"
#include "Reference.h"
#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"
#include "derivation/PrecisionNotes.h"
#include "derivation/SlowParts.h"
#include "lower/LaunchPackage.h"
#include "lower/Lower.h"
#include "lower/ReplaceNest.h"
#include "lower/cpu/LowerCpu.h"
#include "schedule/PrintSchedule.h"
#include "support/Error.h"
#include "support/Log.h"
#include "support/Stage.h"
#include "tile/BuildTiles.h"
#include "tile/PrintTiles.h"
#include "tile/VerifyTiles.h"

namespace strobe {

using namespace Halide;
using namespace Halide::Internal;

namespace {

void refuse_other_targets(const Target &target) {
    const bool other_gpu = target.has_gpu_feature() && !target.has_feature(Target::CUDA);
    if (other_gpu || target.arch == Target::Hexagon) {
        strobe_user_error() << "There is no code generator for the target " << target.to_string()
                            << ". Supported: CPUs (e.g. host), and NVIDIA GPUs through the feature cuda.";
    }
}

}  // namespace

std::string Compilation::explanation() const {
    std::ostringstream text;
    text << "derivation\n";
    for (const Fact &f : plan.facts) {
        text << "  " << f.subject << "  " << f.rule << ": " << f.text << "\n";
    }
    for (const ScheduleChoice &c : schedules.choices) {
        text << "schedule\n" << to_string(c.schedule);
    }
    text << "program\n" << program;
    return text.str();
}

Compilation compile(const std::vector<Func> &outputs, const Target &target, const Schedule &schedule) {
    strobe_user_assert(!outputs.empty()) << "There is no output to compile.";
    refuse_other_targets(target);
    Compilation c;
    {
        Stage stage("read algorithm");
        c.graph = read_algorithm(outputs);
    }
    {
        Stage stage("derive");
        c.plan = derive_online(c.graph);
        c.warnings = slow_parts(c.graph, c.plan);
        const std::vector<std::string> notes = precision_notes(c.graph, c.plan);
        c.warnings.insert(c.warnings.end(), notes.begin(), notes.end());
    }
    {
        Stage stage("schedule");
        const Capability machine = capability_of(target);
        const std::vector<Shape> shapes =
            machine.is_gpu() ? typical_shapes(c.graph, c.plan.roles) : std::vector<Shape>(1);
        c.schedules = autoschedule_shapes(c.graph, c.plan, machine, shapes, schedule);
        c.choices = c.schedules.choices.front().choices;
        c.schedule = c.schedules.choices.front().schedule;
    }
    {
        Stage stage("build tiles");
        for (const ScheduleChoice &choice : c.schedules.choices) {
            c.programs.push_back(build_tiles(outputs.front().name(), c.graph, c.plan, choice.choices));
            verify_tiles(c.programs.back());
        }
        c.program = c.programs.front();
    }
    strobe_debug(2) << c.explanation();
    return c;
}

Compilation autoschedule(Pipeline pipeline, const Target &target, const Schedule &schedule) {
    if (target.has_feature(Target::CUDA)) {
        const CudaCompilation c = compile_cuda(pipeline.outputs(), target, schedule);
        for (const std::string &warning : c.warnings) {
            strobe_debug(0) << "warning: " << warning << "\n";
        }
        compute_reductions_at_root(pipeline.outputs());
        install_package(pipeline, c.package, target);
        return c.stages;
    }
    const Compilation c = compile(pipeline.outputs(), target, schedule);
    for (const std::string &warning : c.warnings) {
        strobe_debug(0) << "warning: " << warning << "\n";
    }
    Stmt nest;
    {
        Stage stage("lower");
        nest = run_lower_passes(cpu_passes(), lower_cpu(c.program, c.choices, target));
    }
    compute_reductions_at_root(pipeline.outputs());
    install_nest(pipeline, nest);
    return c;
}

}  // namespace strobe
