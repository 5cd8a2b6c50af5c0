# SPDX-License-Identifier: Apache-2.0
"""Documents of plans: kadeploy, kareboot and kapower with --dry-run --json. Timeouts are in seconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from kadeploy.config.server import Windows
from kadeploy.service.views.view import Document, Number, View

if TYPE_CHECKING:
    from kadeploy.operations.deploy.plan import DeploymentClusterPlan, DeploymentPlan
    from kadeploy.operations.plan import ClusterPlan, Plan
    from kadeploy.operations.recipe import Recipe
    from kadeploy.steps.facts import ClusterFacts, DeploymentFacts
    from kadeploy.steps.step import Step
    from kadeploy.workflow.automaton import Instance, MicroStep


class MicroStepView(View):
    """Micro-step of a plan.

    ``hold``: nodes are held before it; ``custom`` says what a custom operation does, '' for the steps of
    Kadeploy itself.
    """

    name: str
    timeout: Number
    hold: bool
    custom: str

    @classmethod
    def of(cls, micro: MicroStep, step: Step[Any], count: int) -> MicroStepView:
        """View of a micro-step that is run on so many nodes."""
        from kadeploy.steps.custom_operation import CustomOperation

        function = step.function
        return cls(
            name=micro.name,
            timeout=micro.timeout.seconds(count),
            hold=micro.breakpoint,
            custom=function.summary if isinstance(function, CustomOperation) else "",
        )


class InstanceView(View):
    """Instance of a macro-step; ``retries`` are attempts after the first, ``timeout`` is 0 for none."""

    instance: str
    retries: int
    timeout: Number
    microsteps: tuple[MicroStepView, ...]

    @classmethod
    def of(cls, instance: Instance, recipe: Recipe, count: int) -> InstanceView:
        """View of an instance that so many nodes run by a recipe."""
        pairs = zip(instance.microsteps, recipe.steps, strict=True)
        return cls(
            instance=instance.name,
            retries=instance.retries,
            timeout=instance.timeout.seconds(count),
            microsteps=tuple(MicroStepView.of(micro, step, count) for micro, step in pairs),
        )


MacroSteps = dict[str, tuple[InstanceView, ...]]


def _macro_steps(cluster: ClusterPlan[ClusterFacts]) -> MacroSteps:
    """Instances of each macro-step, in the order in which they are tried."""
    count, recipes = len(cluster.nodes), cluster.recipes.all()
    return {
        macro.name: tuple(InstanceView.of(instance, next(recipes), count) for instance in macro.instances)
        for macro in cluster.automaton.macrosteps
    }


class ClusterPlanView(View):
    """Plan of the nodes of a cluster."""

    cluster: str
    nodes: tuple[str, ...]
    macrosteps: MacroSteps

    @classmethod
    def of(cls, plan: ClusterPlan[ClusterFacts]) -> ClusterPlanView:
        """View of a cluster's plan."""
        return cls(cluster=plan.cluster, nodes=tuple(plan.nodes), macrosteps=_macro_steps(plan))


class PlanView(Document):
    """Plan of an operation that erases nothing: of a reboot, or of switching nodes."""

    kind: Literal["plan"] = "plan"
    schema_version: Literal[1] = Field(default=1, alias="schema")
    windows: Windows
    clusters: tuple[ClusterPlanView, ...]

    @classmethod
    def of(cls, plan: Plan[ClusterFacts]) -> PlanView:
        """View of a plan."""
        clusters = tuple(map(ClusterPlanView.of, plan.clusters))
        return cls(windows=plan.site.server.windows, clusters=clusters)


class SentImageView(View):
    """Image that is sent: size in bytes, SHA-256 of the file as it is now.

    ``file`` is its URI or absolute path, ``declared_sha256`` what the environment says, '' for nothing: nodes
    refuse another one.
    """

    size: int
    sha256: str
    file: str
    declared_sha256: str


class PartitionView(View):
    """Partition of the layout; ``bytes`` is null for the rest of the disk."""

    number: int
    role: str
    bytes: int | None
    device: str


class DeploymentClusterPlanView(View):
    """Plan of a deployment on the nodes of a cluster.

    ``target`` is the device that the image is written to, ``erased`` are the devices whose data are lost.
    ``partition_table`` says what becomes of the table: it is made of ``partitions``, comes with the image of
    a whole disk, or is kept.
    """

    cluster: str
    nodes: tuple[str, ...]
    spares: tuple[str, ...]
    target: str
    erased: tuple[str, ...]
    partitions: tuple[PartitionView, ...]
    macrosteps: MacroSteps
    partition_table: Literal["made", "of-the-image", "kept"]

    @classmethod
    def of(cls, plan: DeploymentClusterPlan) -> DeploymentClusterPlanView:
        """View of a cluster's plan."""
        from kadeploy.disks.layout import partition_device

        layout = plan.facts.layout
        return cls(
            cluster=plan.cluster,
            nodes=tuple(plan.nodes),
            spares=tuple(plan.spares),
            target=plan.facts.target.device,
            erased=tuple(plan.facts.erased),
            partitions=tuple(
                PartitionView(
                    number=partition.number,
                    role=partition.role.value,
                    bytes=partition.size,
                    device=partition_device(layout.block_device, partition.number),
                )
                for partition in layout.partitions
            ),
            macrosteps=_macro_steps(plan),
            partition_table=_partition_table(plan.facts),
        )


def _partition_table(facts: DeploymentFacts) -> Literal["made", "of-the-image", "kept"]:
    if facts.target.partition is None:
        return "of-the-image"
    return "made" if facts.partitioned else "kept"


class DeploymentPlanView(Document):
    """Plan of a deployment; ``environment`` is name:version, ``owner`` its owner.

    In schema 1 ``erased`` was a text.
    """

    kind: Literal["deployment-plan"] = "deployment-plan"
    schema_version: Literal[2] = Field(default=2, alias="schema")
    environment: str
    image: SentImageView
    windows: Windows
    clusters: tuple[DeploymentClusterPlanView, ...]
    owner: str

    @classmethod
    def of(cls, plan: DeploymentPlan) -> DeploymentPlanView:
        """View of a plan."""
        environment, image = plan.environment, plan.image
        return cls(
            environment=environment.label,
            image=SentImageView(
                size=image.size,
                sha256=image.sha256,
                file=environment.image.file,
                declared_sha256=environment.image.sha256,
            ),
            windows=plan.site.server.windows,
            clusters=tuple(map(DeploymentClusterPlanView.of, plan.clusters)),
            owner=environment.owner,
        )


def view_of(plan: Plan[ClusterFacts]) -> DeploymentPlanView | PlanView:
    """View of a plan of any kind."""
    from kadeploy.operations.deploy.plan import DeploymentPlan

    return DeploymentPlanView.of(plan) if isinstance(plan, DeploymentPlan) else PlanView.of(plan)
