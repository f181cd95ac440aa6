#include "Explain.h"

#include "autoscheduler/ExchangeCost.h"
#include "derivation/Expressions.h"
#include "derivation/PrecisionNotes.h"
#include "derivation/SlowParts.h"
#include "schedule/PrintSchedule.h"
#include "schedule/ResolveNames.h"
#include "support/NearestName.h"

#include <algorithm>
#include <iomanip>

namespace strobe {

namespace {

/** Fixed point, trailing zeros removed: 3.0 -> 3, 0.25 -> 0.25. */
std::string number(double x, int digits = 1) {
    std::ostringstream text;
    text << std::fixed << std::setprecision(digits) << x;
    std::string s = text.str();
    while (s.find('.') != std::string::npos && (s.back() == '0' || s.back() == '.')) {
        const bool point = s.back() == '.';
        s.pop_back();
        if (point) {
            break;
        }
    }
    return s;
}

std::string time_text(double milliseconds) {
    return milliseconds < 1 ? number(milliseconds * 1e3, 0) + " us" : number(milliseconds, 2) + " ms";
}

std::string kib(int64_t bytes) {
    return number(bytes / 1024.0) + " KiB";
}

std::string tiles_of(const Choices &c, const Capability &machine) {
    std::string s = std::to_string(c.query_tile) + " x " + std::to_string(c.stream_tile);
    if (machine.is_gpu()) {
        s += ", " + std::to_string(c.stages) + " stages" + (c.pingpong ? ", pingpong" : "") +
             (c.held.empty() ? "" : ", rows in registers");
    }
    return s;
}

class Explainer {
    const ReductionGraph &graph;
    const Plan &plan;
    const Capability &machine;
    const ScheduleChoice &choice;
    std::ostringstream text;

    /** "mask:                " and the rest. */
    std::ostream &line(const std::string &label) {
        return text << std::left << std::setw(21) << (label.empty() ? "" : label + ":");
    }

    /** "  online             " and the rest. */
    std::ostream &item(const std::string &label) {
        return text << "  " << std::left << std::setw(19) << label;
    }

    bool is_streamed(const Reduction &r) const {
        return std::count(r.over.begin(), r.over.end(), plan.roles.stream) > 0;
    }

    std::string signature(const Reduction &r, const Workload &work) const {
        std::string s = base_name(r.name) + " (" + name_of(r.op);
        const Contraction *k = work.find(r.name);
        if (k && k->func == r.name && !k->scores) {
            for (const Operand &o : k->operands) {
                s += ", contraction with " + base_name(o.input);
            }
        }
        return s + ")";
    }

    void facts_of(const std::string &subject) {
        for (const Fact &f : plan.facts) {
            if (f.subject == subject && f.rule != "mask") {
                item(base_name(subject)) << f.rule << ": " << f.text << "\n";
            }
        }
    }

    void reductions() {
        const Workload work = workload_of(graph, plan, choice.shape.sizes);
        std::vector<std::string> chain;
        for (const Reduction &r : graph.reductions) {
            if (is_streamed(r)) {
                chain.push_back(signature(r, work));
            }
        }
        std::string joined;
        for (const std::string &c : chain) {
            joined += (joined.empty() ? "" : " -> ") + c;
        }
        line("reductions over " + base_name(plan.roles.stream)) << joined << "\n";
        std::vector<std::string> told;
        for (const Fact &f : plan.facts) {
            if (f.rule != "mask" && !std::count(told.begin(), told.end(), f.subject)) {
                told.push_back(f.subject);
                facts_of(f.subject);
            }
        }
        item("passes") << plan.passes.size() << (plan.passes.size() == 1 ? " walk over " : " walks over ")
                       << base_name(plan.roles.stream) << "\n";
    }

    void slow() {
        for (const std::string &part : slow_parts(graph, plan, choice.choices.share_axis)) {
            line("slow") << part << "\n";
        }
        for (const std::string &note : precision_notes(graph, plan)) {
            line("precision") << note << "\n";
        }
    }

    void mask(const Pass &pass, const TileVisits &visits) {
        if (!pass.mask.guard.defined()) {
            line("mask") << "none: every tile is full but the last of a length that the tile does not divide\n";
            return;
        }
        const MaskVerdict &m = pass.mask;
        line("mask") << text_of(m.guard) << "\n";
        item(base_name(plan.roles.stream) + " visited");
        if (m.begin.defined() || m.end.defined()) {
            text << "from " << (m.begin.defined() ? text_of(m.begin) : "its start") << " to before "
                 << (m.end.defined() ? text_of(m.end) : "its end") << (m.contiguous ? "" : ", less dead tiles");
        } else {
            text << "all but dead tiles";
        }
        text << "\n";
        for (const Summary &s : m.summaries) {
            item("summary") << s.name.substr(1) << ": least and greatest " << text_of(s.load) << " of each tile of "
                            << s.axis << ", found on the device\n";
        }
        if (!m.contiguous && m.dead.defined()) {
            item("dead if") << text_of(m.dead) << "\n";
        }
        if (m.full.defined()) {
            item("full if") << text_of(m.full) << "\n";
        }
        const Choices &c = choice.choices;
        item("tiles") << "each " << visits.group_rows << " rows visit " << number(visits.mean) << " of " << visits.tiles
                      << " tiles of " << c.stream_tile;
        if (visits.of_block > visits.mean + 0.05) {
            text << " (the " << c.query_tile << " rows of a block " << number(visits.of_block) << ")";
        }
        text << "; " << number(visits.mean * visits.partial) << " of them partial, which alone carry the mask's code\n";
        if (visits.data_dependent) {
            item("") << "assuming that a row sees a run of 1/" << assumed_documents
                     << " of the keys: the verdict is taken at run time\n";
        }
    }

    void schedule() {
        line("schedule") << (choice.given ? "by hand, completed: " : "automatic: ") << choice.within(0.03) << " of "
                         << choice.ranked.size() << " legal candidates predicted within 3 %\n";
        for (const Directive &d : choice.schedule.directives) {
            text << "  " << d << "\n";
        }
    }

    void clocks() {
        for (size_t i = 0; i < choice.estimate.passes.size(); i++) {
            const TileCost &t = choice.estimate.passes[i];
            item(choice.estimate.passes.size() > 1 ? "clocks, pass " + std::to_string(i + 1) : "clocks")
                << (machine.is_gpu() ? "tensor " : "multiply-adds ") << number(t.tensor, 0) << " | special functions "
                << number(t.special, 0) << " | issue " << number(t.issue, 0) << " | copies " << number(t.copies + (machine.is_gpu() ? 0 : t.arrival), 0);
            if (t.partial_issue > 0) {
                text << " | mask " << number(t.partial_issue, 0) << " if partial";
            }
            text << " -> " << number(t.total, 0) << " a tile\n";
        }
        item("bound by") << choice.estimate.bound << "; " << number(100 * choice.estimate.balance, 0)
                         << " % of the time all " << (machine.is_gpu() ? "multiprocessors" : "cores") << " work\n";
    }

    void resources() {
        const Footprint &f = choice.estimate.footprint;
        if (!machine.is_gpu()) {
            item("caches") << kib(f.shared_bytes) << " a block, of " << kib(machine.l2_bytes) << " (L2)\n";
            return;
        }
        item("registers") << f.registers << " of " << choice.choices.consumer_registers << ": "
                          << sum_text(f.register_terms) << "\n";
        item("shared memory") << kib(f.shared_bytes) << " of " << kib(machine.shared_bytes_per_block) << ", "
                              << f.blocks_per_multiprocessor
                              << (f.blocks_per_multiprocessor == 1 ? " block" : " blocks") << " a multiprocessor\n";
    }

    /** The fastest candidates whose tiles differ from the chosen ones. */
    void alternatives() {
        std::vector<std::pair<int, int>> shown = {{choice.choices.query_tile, choice.choices.stream_tile}};
        for (const Candidate &c : choice.ranked) {
            const std::pair<int, int> tiles = {c.choices.query_tile, c.choices.stream_tile};
            if (shown.size() > 3 || std::count(shown.begin(), shown.end(), tiles)) {
                continue;
            }
            shown.push_back(tiles);
            const double slower = 100 * (c.estimate.milliseconds / choice.estimate.milliseconds - 1);
            item("instead") << tiles_of(c.choices, machine) << ": " << (slower < 0 ? "" : "+") << number(slower)
                            << " %, bound by " << c.estimate.bound << (slower < 0 ? ", with more shared memory" : "")
                            << "\n";
        }
        for (const Rejection &r : choice.rejected) {
            item("rejected") << r.count << (r.count == 1 ? " candidate, " : " candidates, as ") << r.example << ": "
                             << r.reason << "\n";
        }
    }

    /** Both orders of what separates a second time. */
    void exchange() {
        if (!plan.second) {
            return;
        }
        const ExchangeCost cost = exchange_cost(plan, choice.shape, choice.choices.query_tile);
        const std::string stream = base_name(plan.roles.stream);
        const bool both = machine.is_gpu() && !choice.choices.general && !choice.given;
        line("order") << (both ? "a plan for either: the launcher takes the one that is predicted to take less time"
                          : choice.choices.exchange ? "sums over " + stream + " first, once for all rows"
                                                    : "each row walks the " + stream + " that it sees")
                      << "\n";
        item("sums first") << number(cost.ahead(), 0) << " multiply-adds a row: " << number(cost.reading, 0)
                           << " with the sums, " << number(cost.sums, 0) << " for its share of them";
        if (cost.own_walk > 0) {
            text << ", " << number(cost.own_walk, 0) << " for the " << stream << " of its own block";
        }
        text << "\n";
        item("walk of each row") << number(cost.walked, 0) << " multiply-adds a row\n";
    }

public:
    Explainer(const ReductionGraph &graph, const Plan &plan, const Capability &machine, const ScheduleChoice &choice)
        : graph(graph), plan(plan), machine(machine), choice(choice) {
    }

    static std::string in_short(const GeneralPlan &p) {
        std::ostringstream s;
        s << "tiles of " << p.choices.query_tile << " x " << p.choices.stream_tile << ", " << p.choices.share_points
          << " points of " << base_name(p.choices.share_axis)
          << (p.choices.parts > 1 ? ", " + std::to_string(p.choices.parts) + " parts" : "") << ": "
          << number(p.cost_per_unit) << " + " << number(p.cost_per_tile) << " for each tile";
        return s.str();
    }

    std::string explain_general(const std::string &because, const std::vector<GeneralPlan> &plans) {
        reductions();
        slow();
        for (size_t i = 0; i < plan.passes.size(); i++) {
            mask(plan.passes[i], choice.estimate.visits[i]);
        }
        exchange();
        line("kernel") << "general" << (choice.choices.exchange ? ": sums that come first have no other form"
                                        : because.empty() ? ", as the schedule asks"
                                                            : ", which is slower than the warp-specialised one: " + because) << "\n";
        if (choice.choices.share_points > 1) {
            const std::string axis = base_name(choice.choices.share_axis);
            line("shared") << "sums over " << base_name(plan.roles.stream)
                           << " of what each row has for itself, the same for all " << axis
                           << ": products of matrices whose rows are points of " << axis << "\n";
        }
        line("schedule") << (choice.given ? "by hand, completed" : "the first tiles of a list that fit") << "\n";
        for (const Directive &d : choice.schedule.directives) {
            text << "  " << d << "\n";
        }
        for (size_t n = 1; n < plans.size(); n++) {
            line(n == 1 ? "or, by lengths" : "or") << in_short(plans[n]) << "\n";
        }
        return text.str();
    }

    std::string explain() {
        reductions();
        slow();
        for (size_t i = 0; i < plan.passes.size(); i++) {
            mask(plan.passes[i], choice.estimate.visits[i]);
        }
        const auto judged = [](const TileVisits &v) { return v.judged; };
        if (machine.is_gpu() && std::any_of(choice.estimate.visits.begin(), choice.estimate.visits.end(), judged)) {
            item("order") << "the blocks with the most live tiles start first; a kernel counts them at each launch\n";
        }
        exchange();
        schedule();
        clocks();
        resources();
        alternatives();
        line("predicted") << time_text(choice.estimate.milliseconds) << (machine.is_gpu() ? " on " : " on one core, ")
                          << machine.text << ", for " << to_string(choice.shape) << "\n";
        return text.str();
    }
};

}  // namespace

std::string explain(const ReductionGraph &graph, const Plan &plan, const Capability &capability,
                    const ScheduleChoice &choice) {
    return Explainer(graph, plan, capability, choice).explain();
}

std::string explain_general(const ReductionGraph &graph, const Plan &plan, const Capability &machine,
                            ScheduleChoice choice, const std::string &because, const std::vector<GeneralPlan> &plans) {
    Choices &c = choice.choices;
    c.consumers = 1;  // all threads of a block walk alike
    choice.estimate.visits.clear();
    for (const Pass &pass : plan.passes) {
        choice.estimate.visits.push_back(
            count_visits(graph, plan, pass.mask, choice.shape, c.query_tile, c.query_tile, c.stream_tile, c.skip_dead));
    }
    return Explainer(graph, plan, machine, choice).explain_general(because, plans);
}

/** Some verdict on a tile needs data. */
static bool is_data_dependent(const ScheduleSet &set) {
    for (const std::vector<Estimate> &of_choice : set.estimates) {
        for (const Estimate &e : of_choice) {
            if (std::any_of(e.visits.begin(), e.visits.end(), [](const TileVisits &v) { return v.data_dependent; })) {
                return true;
            }
        }
    }
    return false;
}

std::string explain(const ScheduleSet &set, const Plan &plan, const Capability &machine) {
    std::ostringstream text;
    auto item = [&](const std::string &label) -> std::ostream & {
        return text << "  " << std::left << std::setw(19) << label;
    };
    auto length = [&](int shape) {
        return base_name(plan.roles.stream) + "=" + std::to_string(set.shapes[shape].sizes.at(plan.roles.stream));
    };
    const int shapes = (int)set.shapes.size();
    text << std::left << std::setw(21) << "plans:" << set.choices.size()
         << (set.choices.size() == 1
                 ? " in a package, for all lengths\n"
                 : " in a package; the launcher takes the one that is predicted to take least time\n");
    for (size_t n = 0; n < set.choices.size(); n++) {
        item("plan " + std::to_string(n)) << tiles_of(set.choices[n].choices, machine) << ":";
        for (int s = 0; s < shapes; s++) {
            const double slower = 100 * (set.slowdown((int)n, s) - 1);
            text << (s ? ", " : " ") << time_text(set.estimates[n][s].milliseconds) << " at " << length(s);
            if (slower > 0) {
                text << " (+" << number(slower) << " %)";
            }
        }
        text << "\n";
        if ((int)n == set.fallback) {
            item("") << "where no tensor map can describe what the others copy as tiles of elements\n";
        }
    }
    for (const GivenUp &g : set.given_up) {
        item("not worth one") << tiles_of(g.choices, machine) << ": " << number(100 * g.gain) << " % faster at "
                              << length(g.shape);
        if (set.assumed && is_data_dependent(set)) {
            text << ", if rows see 1/" << assumed_documents << " of the keys; what data show is not worth a guess\n";
        } else if (set.assumed) {
            text << " with these scalars, which other launches have otherwise\n";
        } else {
            text << "; a plan of its own must gain " << number(100 * least_gain) << " %\n";
        }
    }
    return text.str();
}

}  // namespace strobe
