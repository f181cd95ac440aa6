#include "Search.h"

#include "Candidates.h"
#include "schedule/Directives.h"
#include "schedule/PrintSchedule.h"
#include "schedule/ResolveNames.h"
#include "support/Error.h"
#include "support/Log.h"

#include <algorithm>
#include <cmath>

namespace strobe {

namespace {

/** Predictions closer than this are taken as equal: the one that takes less of the machine wins. */
constexpr double indifference = 0.01;

/** Whether a directive is stage of some input with an element for each row and column, or of some operand. */
bool stages(const Directive &d, const Workload &work, bool elements) {
    return d.name == "stage" && std::any_of(d.subjects.begin(), d.subjects.end(), [&](const std::string &subject) {
               const std::string input = resolve_name(subject, work.inputs, "").name;
               return elements == std::any_of(work.elements.begin(), work.elements.end(),
                                              [&](const ElementInput &e) { return e.input == input; });
           });
}

std::set<std::string> given_names(const Schedule &given, const Workload &work) {
    std::set<std::string> names;
    for (const Directive &d : given.directives) {
        if (stages(d, work, true)) {
            names.insert("elements");
        }
        if (d.name != "stage" || stages(d, work, false)) {
            names.insert(d.name);
        }
        if (d.name == "warps" && argument_of(d, "registers")) {
            names.insert("registers");
        }
    }
    return names;
}

/** Warpgroups that are at different tiles need more of them in flight. */
bool drifts(const Candidate &c) {
    const bool turns = c.choices.pingpong && c.choices.consumers > 1;
    return !turns && std::any_of(c.estimate.visits.begin(), c.estimate.visits.end(),
                                 [](const TileVisits &v) { return v.judged || v.skew > 1; });
}

/** Among those with as many rows: less shared memory first, but of equal tiles more stages where they help. */
bool simpler(const Candidate &a, const Candidate &b) {
    if (a.choices.stream_tile == b.choices.stream_tile && drifts(a) && drifts(b)) {
        return a.choices.query_tile == b.choices.query_tile && a.choices.stages > b.choices.stages;
    }
    const auto key = [](const Candidate &c) {
        return std::make_tuple(c.estimate.footprint.shared_bytes, c.choices.stages, c.choices.stream_tile);
    };
    return a.choices.query_tile == b.choices.query_tile && key(a) < key(b);
}

void reject(std::vector<Rejection> &rejected, const Refusal &refusal, const Choices &c, const Roles &roles) {
    // Reasons differ in their numbers, but not in what they are about.
    const std::string kind = refusal.directives[0];
    for (Rejection &r : rejected) {
        if (r.kind == kind) {
            r.count++;
            return;
        }
    }
    Schedule tiles;
    tiles.tile(roles.query, c.query_tile).stream(roles.stream, c.stream_tile);
    rejected.push_back({kind, refusal.reason,
                        to_string(tiles.directives[0]) + " " + to_string(tiles.directives[1]) + ", " +
                            std::to_string(c.stages) + " stages",
                        1});
}

/** The automatic directives, with the given ones in the place of those they replace. */
Schedule merge(const Schedule &automatic, const Schedule &given, const Workload &work) {
    Schedule merged;
    std::set<const Directive *> placed;
    auto place_given = [&](const std::string &name) {
        bool found = false;
        for (const Directive &d : given.directives) {
            found |= d.name == name;
            if (d.name == name && placed.insert(&d).second) {
                merged.add(d);
            }
        }
        return found;
    };
    auto names_given_func = [&](const Directive &mma) {
        return std::any_of(given.directives.begin(), given.directives.end(), [&](const Directive &d) {
            return d.name == "mma" && std::any_of(d.subjects.begin(), d.subjects.end(), [&](const std::string &s) {
                       return work.find(s) && work.find(s) == work.find(mma.subjects[0]);
                   });
        });
    };
    const auto stages_given = [&](const Directive &stage) {
        return std::any_of(given.directives.begin(), given.directives.end(), [&](const Directive &d) {
            return stages(d, work, stages(stage, work, true));
        });
    };
    for (const Directive &d : automatic.directives) {
        const bool replaced = place_given(d.name);
        const bool other = (d.name == "mma" && !names_given_func(d)) || (d.name == "stage" && !stages_given(d));
        if (!replaced || other) {
            merged.add(d);
        }
    }
    for (const Directive &d : given.directives) {
        if (placed.insert(&d).second) {
            merged.add(d);
        }
    }
    return merged;
}

void search(ScheduleChoice &result, const std::vector<Choices> &choices, const CostModel &model, const Plan &plan,
            const Capability &machine) {
    for (const Choices &c : choices) {
        if (auto refusal = check_resources(model.workload(), c, machine)) {
            reject(result.rejected, *refusal, c, plan.roles);
        } else {
            result.ranked.push_back({c, model.estimate(c)});
        }
    }
    std::stable_sort(result.ranked.begin(), result.ranked.end(), [](const Candidate &a, const Candidate &b) {
        return a.estimate.milliseconds < b.estimate.milliseconds;
    });
}

}  // namespace

int ScheduleChoice::within(double fraction) const {
    return (int)std::count_if(ranked.begin(), ranked.end(), [&](const Candidate &c) {
        return c.estimate.milliseconds <= (1 + fraction) * estimate.milliseconds;
    });
}

ScheduleChoice autoschedule(const ReductionGraph &graph, const Plan &plan, const Capability &machine,
                            const Shape &shape, const Schedule &given) {
    ScheduleChoice result;
    result.given = !given.directives.empty();
    result.shape = complete_shape(shape, graph, plan.roles);
    const Choices base = check_schedule(given, graph, plan, machine, result.shape.sizes);
    const CostModel model(graph, plan, machine, result.shape);
    search(result, enumerate_choices(base, given_names(given, model.workload()), machine, model.workload(), plan), model, plan, machine);
    if (result.ranked.empty()) {
        // What check_schedule filled in is legal, even where none of the candidates is.
        result.ranked.push_back({base, model.estimate(base)});
    }
    Candidate best = result.ranked[0];
    for (const Candidate &c : result.ranked) {
        if (machine.is_gpu() &&
            c.estimate.milliseconds <= (1 + indifference) * result.ranked[0].estimate.milliseconds &&
            simpler(c, best)) {
            best = c;
        }
    }
    const Schedule automatic = schedule_of(best.choices, graph, plan, model.workload(), machine);
    result.schedule = merge(automatic, given, model.workload());
    result.choices = check_schedule(result.schedule, graph, plan, machine, result.shape.sizes);
    result.estimate = best.estimate;
    strobe_debug(1) << "autoschedule: " << result.ranked.size() << " legal candidates\n";
    strobe_debug(2) << result.schedule;
    strobe_internal_assert(result.choices == best.choices)
        << "the schedule does not give the choices it was written for:\n"
        << result.schedule;
    return result;
}

double ScheduleSet::slowdown(int choice, int shape) const {
    return estimates[choice][shape].milliseconds / estimates[fastest[shape]][shape].milliseconds;
}

namespace {

/** The members' best time at a shape. */
double best_of(const std::vector<std::vector<Estimate>> &estimates, const std::vector<int> &members, size_t shape) {
    double best = 1e300;
    for (int m : members) {
        best = std::min(best, estimates[m][shape].milliseconds);
    }
    return best;
}

/** The members that serve all shapes within the gain: the fewest, and of these the fastest over all shapes. */
std::vector<int> fewest_members(const std::vector<std::vector<Estimate>> &estimates, size_t shapes, double gain) {
    std::vector<int> all, fewest;
    for (size_t n = 0; n < estimates.size(); n++) {
        all.push_back((int)n);
    }
    double least_sum = 0;
    for (unsigned set = 1; set < 1u << all.size(); set++) {
        std::vector<int> members;
        std::copy_if(all.begin(), all.end(), std::back_inserter(members), [&](int n) { return set >> n & 1; });
        double sum = 0;
        bool serves = true;
        for (size_t s = 0; s < shapes; s++) {
            const double ratio = best_of(estimates, members, s) / best_of(estimates, all, s);
            serves &= ratio <= 1 + gain;
            sum += std::log(ratio);
        }
        if (serves && (fewest.empty() || members.size() < fewest.size() ||
                       (members.size() == fewest.size() && sum < least_sum))) {
            fewest = members;
            least_sum = sum;
        }
    }
    return fewest;
}

/** The tiles of elements that a schedule brings in bulk need what tensor maps ask of an input's address and strides.
 * Where that does not hold, a schedule without them serves: with the same tiles of rows and keys, if they are legal then. */
void add_fallback(ScheduleSet &set, const ReductionGraph &graph, const Plan &plan, const Capability &machine,
                  const std::vector<CostModel> &models, const Schedule &given) {
    const auto staged = [](const ScheduleChoice &c) {
        return std::any_of(c.choices.element_stages.begin(), c.choices.element_stages.end(),
                           [](const auto &input) { return input.second > 0; });
    };
    if (!std::all_of(set.choices.begin(), set.choices.end(), staged)) {
        return;
    }
    const Workload &work = models[0].workload();
    Schedule without, free;
    for (Directive d : given.directives) {
        const bool mixed = stages(d, work, true);
        d.subjects.erase(std::remove_if(d.subjects.begin(), d.subjects.end(), [&](const std::string &subject) {
            return mixed && stages({{subject}, d.name, {}, {}, {}}, work, true);
        }), d.subjects.end());
        if (!mixed || !d.subjects.empty()) {
            d.subject_spans.resize(std::min(d.subject_spans.size(), d.subjects.size()));
            without.add(d);
        }
    }
    for (const auto &[input, count] : set.choices[0].choices.element_stages) {
        without.stage({input}, 0);
        free.stage({input}, 0);
    }
    Schedule same = without;
    for (const Directive &d : set.choices[0].schedule.directives) {
        const bool tiles = d.name == "tile" || d.name == "stream" || d.name == "warps" || d.name == "pingpong";
        if (tiles && std::none_of(without.directives.begin(), without.directives.end(),
                                  [&](const Directive &own) { return own.name == d.name; })) {
            same.add(d);
        }
    }
    for (const Schedule *s : {&same, &without, &free}) {  // tiles may leave no registers for elements
        try {
            set.choices.push_back(autoschedule(graph, plan, machine, set.shapes[0], *s));
            break;
        } catch (const UserError &) {
            if (s == &free) {
                throw;
            }
        }
    }
    set.fallback = (int)set.choices.size() - 1;
    set.estimates.emplace_back();
    for (const CostModel &model : models) {
        set.estimates.back().push_back(model.estimate(set.choices.back().choices));
    }
}

/** Some pass visits tiles by a mask over data, or by one with gaps, whose scalars say where. */
bool rests_on_assumptions(const std::vector<std::vector<Estimate>> &estimates) {
    for (const std::vector<Estimate> &of_choice : estimates) {
        for (const Estimate &e : of_choice) {
            for (const TileVisits &v : e.visits) {
                if (v.data_dependent || v.judged) {
                    return true;
                }
            }
        }
    }
    return false;
}

/** Turns and stages alone change less than the model can tell: of the schedules with the same tiles the one stays
 * that takes least time over all shapes. */
void keep_best_of_equal_tiles(std::vector<ScheduleChoice> &found, std::vector<std::vector<Estimate>> &estimates) {
    auto total = [&](size_t n) {
        double sum = 0;
        for (const Estimate &e : estimates[n]) {
            sum += std::log(e.milliseconds);
        }
        return sum;
    };
    for (size_t a = 0; a < found.size(); a++) {
        for (size_t b = a + 1; b < found.size();) {
            const Choices &x = found[a].choices, &y = found[b].choices;
            if (x.query_tile != y.query_tile || x.stream_tile != y.stream_tile) {
                b++;
                continue;
            }
            const size_t slower = total(a) <= total(b) ? b : a;
            found.erase(found.begin() + (std::ptrdiff_t)slower);
            estimates.erase(estimates.begin() + (std::ptrdiff_t)slower);
            b = a + 1;
        }
    }
}

}  // namespace

ScheduleSet autoschedule_shapes(const ReductionGraph &graph, const Plan &plan, const Capability &machine,
                                const std::vector<Shape> &shapes, const Schedule &given, double gain) {
    ScheduleSet set;
    std::vector<CostModel> models;
    std::vector<ScheduleChoice> found;
    models.reserve(shapes.size());
    for (const Shape &shape : shapes) {
        set.shapes.push_back(complete_shape(shape, graph, plan.roles));
        models.emplace_back(graph, plan, machine, set.shapes.back());
        ScheduleChoice choice = autoschedule(graph, plan, machine, shape, given);
        if (std::none_of(found.begin(), found.end(),
                         [&](const ScheduleChoice &f) { return f.choices == choice.choices; })) {
            found.push_back(std::move(choice));
        }
    }
    std::vector<std::vector<Estimate>> estimates(found.size());
    for (size_t n = 0; n < found.size(); n++) {
        for (const CostModel &model : models) {
            estimates[n].push_back(model.estimate(found[n].choices));
        }
    }
    keep_best_of_equal_tiles(found, estimates);
    // How the live tiles of such masks depend on the lengths is assumed, not known: no reason for several kernels.
    set.assumed = rests_on_assumptions(estimates);
    std::vector<int> members = fewest_members(estimates, shapes.size(), set.assumed ? HUGE_VAL : gain);
    auto served = [&](int member) {
        int count = 0;
        for (size_t s = 0; s < shapes.size(); s++) {
            count += estimates[member][s].milliseconds <= best_of(estimates, members, s);
        }
        return count;
    };
    std::stable_sort(members.begin(), members.end(), [&](int a, int b) { return served(a) > served(b); });
    for (int m : members) {
        set.choices.push_back(found[m]);
        set.estimates.push_back(estimates[m]);
    }
    add_fallback(set, graph, plan, machine, models, given);
    for (size_t s = 0; s < shapes.size(); s++) {
        auto faster = [&](const auto &a, const auto &b) { return a[s].milliseconds < b[s].milliseconds; };
        const auto serves = std::min_element(set.estimates.begin(), set.estimates.end(), faster);
        set.fastest.push_back((int)(serves - set.estimates.begin()));
        const auto best = std::min_element(estimates.begin(), estimates.end(), faster);
        const double gain = (*serves)[s].milliseconds / (*best)[s].milliseconds - 1;
        if (gain > 0) {
            set.given_up.push_back({found[best - estimates.begin()].choices, (int)s, gain});
        }
    }
    return set;
}

}  // namespace strobe
