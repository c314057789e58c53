# What objseek needs of AWS: a bucket for its state, a queue of the images' events, three roles.
#   module "objseek" {
#     source            = "./deploy/terraform"
#     source_bucket     = "images"
#     state_bucket      = "objseek-state"
#     oidc_provider_arn = module.eks.oidc_provider_arn
#   }
terraform {
  required_version = ">= 1.6"
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = ">= 5.0"
    }
  }
}
