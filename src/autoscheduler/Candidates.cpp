#include "Candidates.h"

#include <algorithm>

namespace strobe {

namespace {

std::vector<int> range(int first, int last, int step) {
    std::vector<int> values;
    for (int i = first; i <= last; i += step) {
        values.push_back(i);
    }
    return values;
}

/** Whether inputs with an element for each row and column come as tiles: in both ways. */
std::vector<std::map<std::string, int>> element_stages(const Choices &base, bool given, const Capability &machine,
                                                       const Workload &work, int stages) {
    if (given || !machine.bulk_copies || work.elements.empty()) {
        return {base.element_stages};
    }
    std::map<std::string, int> tiles, none;
    for (const ElementInput &e : work.elements) {
        tiles[e.input] = std::max(tiles[e.input], e.by_stream ? stages : 1);
        none[e.input] = 0;
    }
    return {tiles, none};
}

/** Whether rows that scores contract stay in registers: in both ways, where that may gain something. */
std::vector<std::set<std::string>> held_rows(const Choices &base, bool given, const Capability &machine,
                                             const Workload &work) {
    std::set<std::string> scores;
    for (const Contraction &k : work.contractions) {
        if (k.scores && base.mma.count(k.func)) {
            scores.insert(k.func);
        }
    }
    const bool one_way = given || !machine.bulk_copies || scores.empty() || !work.is_bound_by_power();
    return one_way ? std::vector{base.held} : std::vector{std::set<std::string>(), scores};
}

std::vector<Choices> gpu_choices(const Choices &base, const std::set<std::string> &given, const Capability &machine,
                                 const Workload &work) {
    auto has = [&](const char *name) { return given.count(name) > 0; };
    const int rows = machine.matrix_units[0].rows;
    // As many consumers as the cost model was measured for; more are legal by hand. Where elements of biases are to be
    // unpacked and added, too, a fourth hides more of what the others wait for.
    const bool biased = std::any_of(work.elements.begin(), work.elements.end(), [](const ElementInput &e) { return e.by_stream; });
    const std::vector<int> numbers = range(1, biased && machine.bulk_copies ? 4 : 3, 1);
    const bool fixed_rows = has("tile") || has("warps");
    std::vector<Choices> all;
    std::vector<std::pair<int, int>> warpgroups;  // consumers, chains
    for (int consumers : numbers) {
        for (int chains : std::set<int>{1, work.chains()}) {
            if (consumers % chains == 0) {
                warpgroups.emplace_back(consumers, chains);
            }
        }
    }
    if (fixed_rows) {
        warpgroups = {{base.consumers, base.chains}};
    }
    for (const auto &[consumers, chains] : warpgroups) {
        for (int stream : has("stream") ? std::vector{base.stream_tile} : range(32, 256, 16)) {
            for (int stages : has("stage") ? std::vector{base.stages} : range(2, 4, 1)) {
                for (bool turns : has("pingpong") ? std::vector{base.pingpong} : std::vector{false, true}) {
                    if (turns && consumers < 2) {
                        continue;
                    }
                    Choices c = base;
                    c.consumers = consumers;
                    c.chains = chains;
                    c.query_tile = c.row_groups() * rows;
                    c.stream_tile = stream;
                    c.stages = stages;
                    c.pingpong = turns;
                    if (!has("registers")) {
                        const RegisterSplit split = largest_split(consumers, c.producers, machine, work);
                        c.consumer_registers = split.consumer;
                        c.producer_registers = split.producer;
                    }
                    for (const auto &elements : element_stages(base, has("elements"), machine, work, stages)) {
                        c.element_stages = elements;
                        for (const auto &held : held_rows(base, has("mma"), machine, work)) {
                            c.held = held;
                            all.push_back(c);
                        }
                    }
                }
            }
        }
    }
    return all;
}

std::vector<Choices> cpu_choices(const Choices &base, const std::set<std::string> &given, const Plan &plan) {
    std::vector<Choices> all;
    const bool free = plan.second && !given.count("exchange") && base.parts == 1;
    for (bool exchange : free ? std::vector{true, false} : std::vector{base.exchange}) {
        for (int query : given.count("tile") ? std::vector{base.query_tile} : std::vector{64, 128, 256}) {
            for (int stream : given.count("stream") ? std::vector{base.stream_tile} : std::vector{64, 128, 256}) {
                Choices c = base;
                c.query_tile = query;
                c.stream_tile = stream;
                c.exchange = exchange;
                if (!exchange || plan.second->whole || query % stream == 0) {
                    all.push_back(c);
                }
            }
        }
    }
    return all;
}

}  // namespace

std::vector<Choices> enumerate_choices(const Choices &base, const std::set<std::string> &given,
                                       const Capability &capability, const Workload &work, const Plan &plan) {
    return capability.is_gpu() ? gpu_choices(base, given, capability, work) : cpu_choices(base, given, plan);
}

}  // namespace strobe
