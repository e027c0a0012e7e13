# All images at once, for buildx:
#
#   TAG=$(git rev-parse --short=12 HEAD) docker buildx bake -f compose/docker-bake.hcl
#
# The variables are those of compose/images, which makes the same images with the classic builder.
variable "REGISTRY" { default = "proofsheet" }
variable "TAG" { default = "latest" }
variable "REVISION" { default = TAG }
variable "SOURCE_DATE_EPOCH" { default = 0 }
# Other images to start from; where they are empty, what the Dockerfiles name.
variable "RUST" { default = "" }
variable "BASE" { default = "" }
variable "BASE_DATABASE" { default = "" }
variable "GARAGE" { default = "" }

group "default" {
  targets = ["service", "router", "database", "backup", "objects"]
}

target "programs" {
  context    = "."
  dockerfile = "compose/build.Dockerfile"
  args = {
    RUST              = RUST != "" ? RUST : null
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
  }
}

# What they all have in common: of their context they need nothing but the programs.
target "image" {
  context  = "compose"
  contexts = { "proofsheet/programs" = "target:programs" }
  args = {
    REVISION          = REVISION
    BASE              = BASE != "" ? BASE : null
    SOURCE_DATE_EPOCH = SOURCE_DATE_EPOCH
  }
}

target "service" {
  inherits   = ["image"]
  name       = service
  matrix     = { service = ["profile", "authentication", "photo", "vote", "comment"] }
  dockerfile = "services.Dockerfile"
  target     = service
  tags       = ["${REGISTRY}/${service}:${TAG}", "${REGISTRY}/${service}:latest"]
}

target "router" {
  inherits   = ["image"]
  dockerfile = "router.Dockerfile"
  tags       = ["${REGISTRY}/router:${TAG}", "${REGISTRY}/router:latest"]
}

target "database" {
  inherits   = ["image"]
  dockerfile = "database.Dockerfile"
  args       = { BASE = BASE_DATABASE != "" ? BASE_DATABASE : null }
  tags       = ["${REGISTRY}/database:${TAG}", "${REGISTRY}/database:latest"]
}

target "backup" {
  inherits   = ["image"]
  contexts = {
    "proofsheet/programs" = "target:programs"
    "proofsheet/database" = "target:database"
  }
  dockerfile = "backup.Dockerfile"
  args       = { BASE = "proofsheet/database" }
  tags       = ["${REGISTRY}/backup:${TAG}", "${REGISTRY}/backup:latest"]
}

target "objects" {
  inherits   = ["image"]
  dockerfile = "objects.Dockerfile"
  args       = { GARAGE = GARAGE != "" ? GARAGE : null }
  tags       = ["${REGISTRY}/objects:${TAG}", "${REGISTRY}/objects:latest"]
}
