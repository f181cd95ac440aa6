#include "CompileGeneral.h"

#include "algorithm/ReadAlgorithm.h"
#include "autoscheduler/ExchangeCost.h"
#include "derivation/DeriveOnline.h"
#include "lower/simt/LowerSimt.h"
#include "schedule/CheckSchedule.h"
#include "support/Error.h"
#include "tile/BuildTiles.h"
#include "tile/SharePoints.h"
#include "tile/VerifyTiles.h"

#include <algorithm>

namespace strobe {

namespace {

struct Tiles {
    int query, stream;
    int points = 1;  // of a grid axis to share
    int parts = 1;   // of the stream
};

/** Blocks that share points have as many rows as points: a warp has a point, and a row of the matrices. Twelve leave a
 * thread the registers that it needs with up to 192 features; sixteen are the rows of one instruction of the matrix
 * unit; eight are for more features. Parts are for when there are fewer blocks than the machine has places for them. */
const std::vector<std::vector<Tiles>> preferred_shared = {
    {{12, 16, 12}, {12, 16, 12, 3}, {12, 16, 12, 4}, {16, 16, 16, 4}}, {{8, 16, 8}, {8, 16, 8, 4}}};

/** In order of preference: large tiles read each key and value for more rows. */
const Tiles preferred[] = {{128, 64}, {64, 64}, {64, 32}, {32, 64}, {32, 32},
                           {32, 16},  {16, 32}, {16, 16}, {16, 8},  {16, 4}};

bool has(const Schedule &schedule, const char *name) {
    return schedule.find(name) != nullptr;
}

/** \p aligned: a block's rows start their walk where the block does, so tiles of the stream must divide it. */
std::vector<Tiles> candidates(const Choices &choices, const Schedule &schedule, bool shares, bool aligned) {
    std::vector<Tiles> all, in_order(std::begin(preferred), std::end(preferred));
    for (size_t n = preferred_shared.size(); shares && n-- > 0;) {
        in_order.insert(in_order.begin(), preferred_shared[n][0]);
    }
    for (Tiles t : in_order) {
        t.query = has(schedule, "tile") ? choices.query_tile : t.query;
        t.stream = has(schedule, "stream") ? choices.stream_tile : t.stream;
        if (aligned && t.query % t.stream != 0) {
            continue;
        }
        if (std::none_of(all.begin(), all.end(), [&](const Tiles &o) {
                return o.query == t.query && o.stream == t.stream && o.points == t.points;
            })) {
            all.push_back(t);
        }
    }
    return all;
}

/** The directives as given, with the form and the tiles that were chosen. */
Schedule completed(const Schedule &given, const TileProgram &program, const Choices &choices) {
    Schedule schedule;
    if (!has(given, "kernel")) {
        schedule.kernel("general");
    }
    if (!has(given, "tile")) {
        schedule.tile(program.query.name, choices.query_tile);
    }
    if (!has(given, "stream")) {
        schedule.stream(program.stream.name, choices.stream_tile);
    }
    if (!has(given, "exchange") && choices.exchange) {
        schedule.exchange();
    }
    if (!has(given, "share") && choices.share_points > 1) {
        schedule.share(choices.share_axis, choices.share_points);
    }
    if (!has(given, "split") && choices.parts > 1) {
        schedule.split(program.stream.name, choices.parts);
    }
    for (const Directive &d : given.directives) {
        schedule.add(d);
    }
    return schedule;
}

/** The tiles that are given allow it. */
bool exchange_fits(const Plan &plan, const Schedule &given) {
    const auto size = [&](const char *name) {
        const Directive *d = given.find(name);
        return d && d->arguments.size() > 1 ? std::atoi(d->arguments[1].value.c_str()) : 0;
    };
    const int query = size("tile"), stream = size("stream");
    return plan.second && (plan.second->whole || stream == 0 || (query > 0 && query % stream == 0));
}

TileProgram program_of(const std::string &name, const Compilation &c, const Choices &choices) {
    TileProgram program = build_tiles(name, c.graph, c.plan, choices);
    verify_tiles(program);
    if (!choices.share_axis.empty()) {
        program = share_points(program, choices.share_axis, choices.share_points);
        verify_tiles(program);
    }
    return program;
}

/** Sets the predicted cost of a block, in steps of one that has its registers: measured were 1.6 for one of 128
 * registers that asks for 164. Beginning and end take about a step, and another where states go through memory. */
void estimate(GeneralPlan &plan, const Capability &machine) {
    const double beginning = 1, merging = 1, of_registers_lacking = 2;
    const SimtFootprint f = simt_footprint(plan.program);
    const int registers = (int)(machine.registers / f.threads), wanted = (int)f.register_words + f.other_registers;
    plan.cost_per_tile = 1 + of_registers_lacking * std::max(0, wanted - registers) / registers;
    plan.cost_per_unit = beginning + (plan.program.parts > 1 ? merging : 0);
}

}  // namespace

std::vector<GeneralPlan> plans_of_general(const Compilation &c, const Capability &machine, const Schedule &schedule) {
    std::vector<GeneralPlan> plans = {{c.schedule, c.choices, c.program}};
    const bool given =
        has(schedule, "tile") || has(schedule, "stream") || has(schedule, "share") || has(schedule, "split");
    const auto family =
        std::find_if(preferred_shared.begin(), preferred_shared.end(), [&](const std::vector<Tiles> &f) {
            return !given && f[0].points == c.choices.share_points && f[0].query == c.choices.query_tile;
        });
    if (family == preferred_shared.end()) {
        return plans;
    }
    // A later walk, or a running sum, needs what an earlier part found.
    bool in_parts = c.program.passes.size() == 1 && !c.program.ahead;
    for (const TileOp &op : c.program.passes[0].step) {
        in_parts &= op.kind != TileOp::Kind::Scan;
    }
    for (const Tiles &tiles : *family) {
        const bool first = &tiles == &family->front();
        if (first || (tiles.parts > 1 && !in_parts)) {
            continue;
        }
        GeneralPlan plan;
        plan.choices = c.choices;
        plan.choices.query_tile = tiles.query;
        plan.choices.stream_tile = tiles.stream;
        plan.choices.share_points = tiles.points;
        plan.choices.parts = tiles.parts;
        plan.program = program_of(c.program.name, c, plan.choices);
        if (simt_footprint(plan.program).fits(machine)) {
            plan.schedule = completed(schedule, plan.program, plan.choices);
            plans.push_back(plan);
        }
    }
    for (GeneralPlan &plan : plans) {
        estimate(plan, machine);
    }
    return plans;
}

bool asks_for_general(const Schedule &schedule) {
    const Directive *d = schedule.find("kernel");
    return d && !d->arguments.empty() && d->arguments[0].value == "general";
}

bool asks_for_warp_roles(const Schedule &schedule) {
    return (has(schedule, "kernel") && !asks_for_general(schedule)) ||
           std::any_of(std::begin(schedule.directives), std::end(schedule.directives), [](const Directive &d) {
               return d.name == "stage" || d.name == "mma" || d.name == "warps" || d.name == "pingpong" ||
                      d.name == "persistent";
           });
}

Compilation compile_general(const std::vector<Halide::Func> &outputs, const Capability &machine,
                            const Schedule &schedule) {
    strobe_user_assert(!outputs.empty()) << "There is no output to compile.";
    Compilation c;
    c.graph = read_algorithm(outputs);
    c.plan = derive_online(c.graph);
    Schedule given = schedule;
    if (!has(given, "kernel")) {
        given.kernel("general");
    }
    if (!has(schedule, "exchange") && !has(schedule, "split") && exchange_fits(c.plan, given) &&
        exchange_pays(c.graph, c.plan, typical_shapes(c.graph, c.plan.roles), 1)) {
        given.exchange();
    }
    const Choices choices = check_schedule(given, c.graph, c.plan, machine);
    Choices first = choices;
    first.query_tile = has(schedule, "tile") ? choices.query_tile : preferred[0].query;
    first.stream_tile = has(schedule, "stream") ? choices.stream_tile : preferred[0].stream;
    bool found = false;
    int largest = 0;  // of those that fit
    SimtFootprint least;
    const bool free = !choices.exchange && !has(schedule, "tile") && !has(schedule, "stream") && !has(schedule, "share") && choices.parts == 1;
    const std::string shared = free ? axis_to_share(build_tiles(outputs.front().name(), c.graph, c.plan, first)) : "";
    const bool aligned = choices.exchange && !c.plan.second->whole;
    for (const Tiles &tiles : candidates(choices, schedule, !shared.empty(), aligned)) {
        Choices tried = choices;
        tried.query_tile = tiles.query;
        tried.stream_tile = tiles.stream;
        if (tiles.points > 1) {
            tried.share_axis = shared;
            tried.share_points = tiles.points;
        }
        TileProgram program = program_of(outputs.front().name(), c, tried);
        SimtFootprint f = simt_footprint(program);
        if (program.ahead) {
            const SimtFootprint ahead = simt_footprint(program.ahead->program);
            f.shared_bytes = std::max(f.shared_bytes, ahead.shared_bytes);
            f.register_words = std::max(f.register_words, ahead.register_words);
        }
        least = f;
        const bool fits = f.fits(machine);
        // Two blocks on a multiprocessor hide each other's waits, which is worth tiles of half the size.
        const bool two = two_blocks_fit(f, machine);
        const int area = tiles.query * tiles.stream;
        const bool worth = fits && (tiles.points > 1 || (two && 2 * area >= largest));
        if (fits && (worth || !found)) {
            largest = std::max(largest, area);
            c.choices = tried;
            c.program = std::move(program);
            found = true;
        }
        if (worth) {
            break;
        }
    }
    if (!found) {
        strobe_user_error() << "In algorithm " << outputs.front().name() << ": no tiles fit " << machine.name
                            << ": the smallest that were tried take " << least.shared_bytes
                            << " bytes of shared memory and " << least.register_words
                            << " registers a thread; legal are " << machine.shared_bytes_per_block << " and "
                            << least.most_register_words;
    }
    c.schedule = completed(schedule, c.program, c.choices);
    return c;
}

}  // namespace strobe
