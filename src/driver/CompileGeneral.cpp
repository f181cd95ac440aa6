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
};

/** Three heads that share what they read were faster than four and six, measured with twelve. */
const Tiles preferred_shared[] = {{16, 64, 3}, {16, 32, 3}, {16, 32, 2}, {16, 16, 2}};

/** In order of preference: large tiles read each key and value for more rows. */
const Tiles preferred[] = {{128, 64}, {64, 64}, {64, 32}, {32, 64}, {32, 32},
                           {32, 16},  {16, 32}, {16, 16}, {16, 8},  {16, 4}};

bool has(const Schedule &schedule, const char *name) {
    return schedule.find(name) != nullptr;
}

/** \p aligned: a block's rows start their walk where the block does, so tiles of the stream must divide it. */
std::vector<Tiles> candidates(const Choices &choices, const Schedule &schedule, bool shares, bool aligned) {
    std::vector<Tiles> all, in_order(std::begin(preferred), std::end(preferred));
    if (shares) {
        in_order.insert(in_order.begin(), std::begin(preferred_shared), std::end(preferred_shared));
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
Schedule completed(const Schedule &given, const Compilation &c) {
    Schedule schedule;
    if (!has(given, "kernel")) {
        schedule.kernel("general");
    }
    if (!has(given, "tile")) {
        schedule.tile(c.program.query.name, c.choices.query_tile);
    }
    if (!has(given, "stream")) {
        schedule.stream(c.program.stream.name, c.choices.stream_tile);
    }
    if (!has(given, "exchange") && c.choices.exchange) {
        schedule.exchange();
    }
    if (!has(given, "share") && c.choices.share_points > 1) {
        schedule.share(c.choices.share_axis, c.choices.share_points);
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

}  // namespace

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
        TileProgram program = build_tiles(outputs.front().name(), c.graph, c.plan, tried);
        verify_tiles(program);
        if (!tried.share_axis.empty()) {
            program = share_points(program, tried.share_axis, tried.share_points);
        }
        SimtFootprint f = simt_footprint(program);
        if (program.ahead) {
            const SimtFootprint ahead = simt_footprint(program.ahead->program);
            f.shared_bytes = std::max(f.shared_bytes, ahead.shared_bytes);
            f.register_words = std::max(f.register_words, ahead.register_words);
        }
        least = f;
        const bool fits = f.shared_bytes <= machine.shared_bytes_per_block && f.register_words <= f.most_register_words;
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
    c.schedule = completed(schedule, c);
    return c;
}

}  // namespace strobe
