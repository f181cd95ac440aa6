#include "driver/Explain.h"

#include "Commands.h"
#include "algorithm/ReadAlgorithm.h"
#include "derivation/DeriveOnline.h"
#include "driver/CompileCuda.h"
#include "driver/CompileGeneral.h"
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

}  // namespace

int explain_command(Request request) {
    const std::map<std::string, std::string> params = take_params(request);
    const Halide::Target target = parse_target(request.target);
    const Capability capability = capability_of(target);
    const Instance instance = build_algorithm(request.algorithms.at(0), params, target);
    const Schedule given = requested_schedule(request);
    const ReductionGraph graph = read_algorithm(instance.outputs);
    const Plan plan = derive_online(graph);
    const std::string general = general_because(instance.outputs, target, given);
    if (capability.is_gpu() && (asks_for_general(given) || !general.empty())) {
        const Compilation c = compile_general(instance.outputs, capability, given);
        ScheduleChoice choice;
        choice.choices = c.choices;
        choice.schedule = c.schedule;
        choice.shape = complete_shape(shape_of(request.problem, graph, plan.roles), graph, plan.roles);
        choice.given = !given.directives.empty();
        const std::vector<GeneralPlan> plans = plans_of_general(c, capability, given);
        std::cout << explain_general(graph, plan, capability, choice, general, plans) << "program:\n" << c.program;
        return 0;
    }
    const ScheduleChoice choice =
        autoschedule(graph, plan, capability, shape_of(request.problem, graph, plan.roles), given);
    std::cout << explain(graph, plan, capability, choice);
    if (capability.is_gpu()) {
        std::cout << explain(autoschedule_shapes(graph, plan, capability, typical_shapes(graph, plan.roles), given),
                             plan, capability);
    }
    std::cout << "program:\n" << build_tiles(instance.name, graph, plan, choice.choices);
    return 0;
}

}  // namespace strobe
