#include "driver/Explain.h"
#include "Commands.h"
#include "driver/CompileCuda.h"
#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"
#include "schedule/ResolveNames.h"
#include "tile/BuildTiles.h"
#include "tile/PrintTiles.h"

#include <iostream>

namespace strobe {

namespace {

/** The problem's sizes under the names of the algorithm's axes and scalars. */
Shape shape_of(const Problem &problem, const ReductionGraph &graph, const Roles &roles) {
    Shape shape;
    shape.sizes[roles.query] = problem.queries;
    shape.sizes[roles.stream] = problem.keys;
    const int batch[] = {problem.heads, problem.batch};
    for (size_t i = 0; i < roles.batch.size() && i < 2; i++) {
        shape.sizes[roles.batch[i]] = batch[i];
    }
    for (const std::string &name : scalars_of(graph)) {
        auto given = problem.scalars.find(base_name(name));
        if (given != problem.scalars.end()) {
            shape.scalars[name] = given->second;
        }
    }
    return shape;
}

/** The general form has no cost model: what it is, and why it is taken. */
std::string explain_general(const CudaCompilation &c) {
    std::ostringstream text;
    text << "kernel:              general";
    if (!c.general_because.empty()) {
        text << ", which is slower than the warp-specialised one: " << c.general_because;
    }
    text << "\n" << c.stages.explanation() << c.statistics();
    return text.str();
}

}  // namespace

int explain_command(Request request) {
    const std::map<std::string, std::string> params = take_params(request);
    const Halide::Target target = parse_target(request.target);
    const Capability capability = capability_of(target);
    const Instance instance = build_algorithm(request.algorithms.at(0), params, target);
    if (capability.is_gpu()) {
        const CudaCompilation c = compile_cuda(instance.outputs, target, requested_schedule(request), instance.name);
        if (c.general) {
            std::cout << explain_general(c);
            return 0;
        }
    }
    const ReductionGraph graph = read_algorithm(instance.outputs);
    const Plan plan = derive_online(graph);
    const ScheduleChoice choice = autoschedule(graph, plan, capability, shape_of(request.problem, graph, plan.roles),
                                               requested_schedule(request));
    std::cout << explain(graph, plan, capability, choice) << "program:\n"
              << build_tiles(instance.name, graph, plan, choice.choices);
    return 0;
}

}  // namespace strobe
